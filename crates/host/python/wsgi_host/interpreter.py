"""Makes an interpreter ready for requests: the order in which it is done is the order of `setup()`.

On the start path of every interpreter, so whatever can be imported later is.
"""

import os
import sys

# Imported here on purpose: threading takes the thread that imports it first for the main one, and that
# must be the thread that sets the interpreter up and later runs its exit functions, never a request's.
import threading  # noqa: F401

import _wsgi_host

from . import report, streams


def setup(application_group: str) -> None:
    """Called once in each interpreter, "" being the main one, before its first request.

    In a worker the main interpreter is the only one; it has the name of its application group if that is known yet.

    Whatever does not stand in the way of requests is logged and left out; other errors are raised.

    Source: the order in which mod_wsgi 6.1.1 sets an interpreter up.
    """
    settings = _wsgi_host.settings()
    streams.replace(settings)
    sys.argv = ["mod_wsgi"]
    _set_switch_interval(settings)
    _restrict_signals(settings)
    _extend_path(settings)
    _register(application_group, settings)


def _set_switch_interval(settings):
    if settings.get("switch_interval"):
        sys.setswitchinterval(float(settings["switch_interval"]))


def _restrict_signals(settings):
    # A process that only runs scripts has no requests that a handler could disturb.
    if settings["restrict_signal"] == "1" and not _is_service(settings):
        from . import signals

        signals.restrict()


def _is_service(settings):
    return settings["door"] == "daemon" and settings["threads"] == "0"


def _extend_path(settings):
    """What WSGIPythonPath (python-path) and home add to the module search path."""
    _add_site_directories(settings)
    if settings.get("home"):
        sys.path.insert(0, settings["home"])


def _add_site_directories(settings):
    """Adds WSGIPythonPath as site directories (.pth files work) and moves what is new to the front."""
    directories = [entry for entry in settings.get("python_path", "").split(os.pathsep) if entry]
    if not directories:
        return
    import site

    before = list(sys.path)
    for directory in directories:
        try:
            site.addsitedir(directory)
        except Exception as failure:
            report.write(
                f"WSGI0091: cannot add {directory} to the module search path: {report.cause(failure)}; "
                "it and the directories after it are left out",
                failure,
            )
            break
    known = set(before)
    sys.path[:] = [entry for entry in sys.path if entry not in known] + before


def _register(application_group, settings):
    from . import events, exits, file_wrapper, loader, modules, requests

    modules.install(application_group, settings)
    reporter = report.Reporter(application_group, settings)
    names = GroupNames(modules, reporter, settings)
    scripts = loader.Loader(reporter, case_sensitive=settings["case_sensitivity"] != "0")
    _wsgi_host.register(
        template=_template(settings, modules),
        errors=streams.Errors,
        load=scripts.load,
        report=reporter.exception,
        file_range=file_wrapper.file_range,
        file_wrapper=file_wrapper.FileWrapper,
        exit_functions=exits.run,
        adopt=names.adopt,
        reload_required=scripts.is_reload_required,
        request_timeout=requests.RequestTimeout,
        current_request=requests.current_request,
        event_callbacks=events.event_callbacks,
        request_started=events.request_started,
        response_started=events.response_started,
        request_exception=events.request_exception,
        request_finished=events.request_finished,
        process_signal=events.process_signal,
        process_stopping=events.process_stopping,
    )


class GroupNames:
    """Where the name of the application group stands, for a worker that learns it from its first request."""

    def __init__(self, modules, reporter, settings):
        self._modules = modules
        self._reporter = reporter
        self._settings = settings

    def adopt(self, application_group) -> None:
        """Called before the first script is loaded; never raises."""
        self._reporter.rename(application_group, self._settings)
        self._modules.rename(application_group)


def _template(settings, modules):
    """The part of the environ that is the same for every request of the process (PEP 3333)."""
    from .file_wrapper import FileWrapper

    return {
        "wsgi.version": (1, 0),
        "wsgi.multithread": settings["is_multithread"] == "1",
        "wsgi.multiprocess": settings["is_multiprocess"] == "1",
        "wsgi.run_once": _is_run_once(settings),
        "wsgi.input_terminated": True,
        "wsgi.file_wrapper": FileWrapper,
        "mod_wsgi.version": modules.version(settings["version"]),
        "apache.version": modules.version(settings["apache_version"]),
    }


def _is_run_once(settings):
    """Whether a process serves one request and no more."""
    return settings["door"] == "daemon" and settings["threads"] == settings["maximum_requests"] == "1"
