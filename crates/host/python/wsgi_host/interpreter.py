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
from .options import Options


def setup(application_group, has_own_gil=False) -> None:
    """Called once in each interpreter, "" being the main one, before its first request.

    In a worker the main interpreter is the only one, and `application_group` is None as long as it has no name; what
    depends on the name is then set when it gets one.

    Whatever does not stand in the way of requests is logged and left out; other errors are raised.

    Source: the order in which mod_wsgi 6.1.1 sets an interpreter up.
    """
    settings = _wsgi_host.settings()
    options = Options(settings, has_own_gil or settings["door"] == "daemon")
    sys.argv = ["mod_wsgi"]
    waits = application_group is None and options.depend_on_name()
    if waits:
        streams.replace(settings)
    else:
        _configure(application_group or "", options)
    _register(application_group or "", settings, options if waits else None)
    if has_own_gil:
        from . import extensions

        extensions.initialise_in_main_first()


def _configure(application_group, options):
    """Sets what may differ from interpreter to interpreter."""
    settings = options.of(application_group)
    streams.replace(settings)
    _set_switch_interval(settings)
    _restrict_signals(settings)
    _extend_path(settings, options.python_paths(application_group))
    # After the path is complete, which the modules look at.
    from . import modules

    modules.install(application_group, settings)


def _set_switch_interval(settings):
    if settings.get("switch_interval"):
        sys.setswitchinterval(float(settings["switch_interval"]))


def _restrict_signals(settings):
    # A process that only runs scripts has no requests that a handler could disturb.
    if _is_service(settings):
        return
    from . import signals

    if settings["restrict_signal"] == "1":
        signals.restrict()
    elif "signal_descriptor" in settings:
        signals.announce(int(settings["signal_descriptor"]))


def _is_service(settings):
    return settings["door"] == "daemon" and settings["threads"] == "0"


def _extend_path(settings, python_paths):
    """What WSGIPythonPath (python-path) and home add to the module search path."""
    for python_path in python_paths:
        _add_site_directories(python_path)
    if settings.get("home"):
        sys.path.insert(0, settings["home"])


def _add_site_directories(python_path):
    """Adds WSGIPythonPath as site directories (.pth files work) and moves what is new to the front."""
    directories = [entry for entry in python_path.split(os.pathsep) if entry]
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


def _register(application_group, settings, waiting):
    from . import events, exits, extensions, file_wrapper, loader, modules, requests

    watching = None
    if "telemetry" in settings:
        from . import garbage

        watching = garbage.watch(application_group, settings)
    reporter = report.Reporter(application_group, settings)
    names = GroupNames(modules, reporter, settings, waiting, watching)
    script_owner = None
    if "script_user" in settings or "script_group" in settings:
        from . import owner

        script_owner = owner.of(settings)
    scripts = loader.Loader(reporter, case_sensitive=settings["case_sensitivity"] != "0", owner=script_owner)
    _wsgi_host.register(
        template=_template(settings, modules),
        errors=streams.Errors,
        load=scripts.load,
        load_asked=scripts.load_asked,
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
        initialise=extensions.initialise,
    )


class GroupNames:
    """Where the name of the application group stands, for a worker that learns it from its first request."""

    def __init__(self, modules, reporter, settings, waiting, watching):
        """`waiting`: the options that have waited for the name, or None; `watching`: who watches the collector, likewise."""
        self._modules = modules
        self._reporter = reporter
        self._settings = settings
        self._waiting = waiting
        self._watching = watching

    def adopt(self, application_group) -> None:
        """Called before the first script is loaded; never raises."""
        self._reporter.rename(application_group, self._settings)
        if self._watching is not None:
            self._watching.application_group = application_group
        if self._waiting is None:
            self._modules.rename(application_group)
            return
        try:
            _configure(application_group, self._waiting)
        except Exception as failure:
            text = f"WSGI0431: cannot set the interpreter up for application group '{application_group}': "
            report.write(f"{text}{report.cause(failure)}; going on without", failure)


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
