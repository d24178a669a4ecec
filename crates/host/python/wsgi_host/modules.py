"""The modules `mod_wsgi` and `apache` that applications import.

Source: docs of mod_wsgi, "Application Portability"; names and types as in mod_wsgi 6.1.1.
"""

import sys
from importlib.machinery import PathFinder
from types import ModuleType

from . import events, metrics, report
from .file_wrapper import FileWrapper
from .requests import RequestTimeout, active_requests, request_data


def install(application_group, settings) -> None:
    """Puts both modules into `sys.modules`; after `sys.path` is complete, which both look at."""
    sys.modules["mod_wsgi"] = _mod_wsgi(application_group, settings)
    sys.modules["apache"] = _apache(settings)


def rename(application_group) -> None:
    """Gives the process's application group another name."""
    module = sys.modules.get("mod_wsgi")
    if module is not None:
        module.application_group = application_group


def version(text) -> tuple:
    """A dotted version as a tuple of ints; a suffix such as "-dev" is left out."""
    numbers = []
    for part in text.split("-")[0].split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)


def _mod_wsgi(application_group, settings):
    module = ModuleType("mod_wsgi")
    module.version = version(settings["version"])
    module.process_group = settings["process_group"]
    module.application_group = application_group
    # A daemon group's own in a worker; in `apache` always those of httpd.
    is_daemon = settings["door"] == "daemon"
    module.maximum_processes = int(settings["processes" if is_daemon else "mpm_max_processes"])
    module.threads_per_process = int(settings["threads" if is_daemon else "mpm_threads_per_process"])
    module.FileWrapper = FileWrapper
    module.RequestTimeout = RequestTimeout
    module.request_data = request_data
    for name in (
        "event_callbacks", "shutdown_callbacks", "signal_callbacks",
        "subscribe_events", "subscribe_shutdown", "subscribe_signals",
    ):  # fmt: skip
        setattr(module, name, getattr(events, name))
    for name in ("start_recording_metrics", "request_metrics", "process_metrics", "server_metrics"):
        setattr(module, name, getattr(metrics, name))
    _add_when_asked(module)
    installed = _regular_package("mod_wsgi")
    if installed is not None:
        # The package of that name from PyPI: its submodules, such as mod_wsgi.express, stay importable.
        module.__path__ = list(installed.submodule_search_locations)
    return module


def _log_handler():
    # It imports `logging`, which takes several ms.
    from .log_handler import LogHandler

    return LogHandler


def _add_when_asked(module):
    """Defers what costs something to the first look at it (PEP 562)."""
    deferred = {"LogHandler": _log_handler, "active_requests": active_requests}

    def get(name):
        if name not in deferred:
            raise AttributeError(f"module 'mod_wsgi' has no attribute '{name}'")
        # Of two threads that look at once, the second gets what the first has made.
        return vars(module).setdefault(name, deferred[name]())

    module.__getattr__ = get
    module.__dir__ = lambda: sorted({*vars(module), *deferred})


def _apache(settings):
    module = _users_apache() or ModuleType("apache")
    module.version = version(settings["apache_version"])
    module.description = settings["apache_description"]
    module.build_date = settings["apache_build_date"]
    module.mpm_name = settings["mpm_name"]
    module.maximum_processes = int(settings["mpm_max_processes"])
    module.threads_per_process = int(settings["mpm_threads_per_process"])
    return module


def _users_apache():
    """The site's own module `apache`, which ours would hide otherwise; None if there is none that works."""
    spec = PathFinder.find_spec("apache")
    if spec is None or spec.loader is None or spec.origin is None:
        return None
    try:
        import apache
    except (Exception, SystemExit) as failure:
        report.write(
            f"WSGI0302: cannot import the site's module 'apache' from {spec.origin}: {report.cause(failure)}; "
            "the built-in one takes its place",
            failure,
        )
        return None
    return apache


def _regular_package(name):
    """The spec of an installed package; None for a mere directory of that name (a namespace package)."""
    spec = PathFinder.find_spec(name)
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        return None
    return spec
