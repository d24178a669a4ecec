"""The life of a worker, a process of a daemon group: from the bootstrap's last line to the process's end."""

import os
import signal
import sys

import _wsgi_host

from . import log, process, report, script_module


def main() -> None:
    """Becomes a worker, loads what is to be loaded first, serves, and ends in order; does not return.

    Raises what stands in the way of that, before the process takes any request.
    """
    _wsgi_host.adopt()
    settings = _wsgi_host.settings()
    _register_dumps(settings)
    _set_environment(settings)
    is_service = settings["threads"] == "0"
    # A service gets no request from which it could take a name.
    process.set_up(settings.get("pool_group", "" if is_service else None))
    if is_service:
        process.end_after(_run_service)
    else:
        process.end_after(_serve, _wsgi_host.park)


def _register_dumps(settings):
    """Has a signal write the stacks of all threads to a file, for when nobody can get the GIL."""
    if "dump_file" in settings:
        import faulthandler

        faulthandler.register(int(settings["dump_signal"]), file=int(settings["dump_file"]), all_threads=True)


def _set_environment(settings):
    if settings.get("locale"):
        import locale

        try:
            locale.setlocale(locale.LC_ALL, settings["locale"])
        except locale.Error as failure:
            text = f"WSGI0079: cannot set locale '{settings['locale']}': {report.cause(failure)}; going on without it"
            log.write(log.WARNING, text)


def _serve():
    for path in _wsgi_host.scripts():
        # What goes wrong is logged, and the first request tries again.
        _wsgi_host.preload(path)
    version = ".".join(str(number) for number in sys.version_info[:3])
    try:
        _wsgi_host.serve(version, sys.prefix, sys.executable or "")
    except Exception as failure:
        text = f"WSGI0352: the process cannot serve: {report.cause(failure)}; it ends, and another one is started"
        report.write(text, failure)
        os._exit(1)


class _Told(SystemExit):
    """The process was told to end."""


def _run_service():
    """Runs the scripts of a group without threads one after another; SIGTERM ends the one that runs."""
    is_told = False

    def told(signum, frame):
        nonlocal is_told
        # Once: what is done for the end, by the script and after it, is not to be broken off.
        if not is_told:
            is_told = True
            raise _Told(0)

    signal.signal(signal.SIGTERM, told)
    try:
        try:
            for path in _wsgi_host.scripts():
                if is_told:
                    break
                _run_script(path)
        finally:
            # The process ends by itself now.
            is_told = True
    except _Told:
        # Told between two scripts, or after the last one.
        pass


def _run_script(path):
    code_of_failure = "WSGI0106"
    try:
        log.write(log.INFO, f"Loading Python script file '{path}' as a service.")
        code = script_module.compiled(path)
        mtime_us = os.stat(path).st_mtime_ns // 1000
        code_of_failure = "WSGI0110"
        script_module.run(code, script_module.name(path), path, mtime_us)
    except SystemExit:
        # An ordinary end of a program.
        pass
    except BaseException as failure:
        text = f"{code_of_failure}: service script '{path}' failed: {report.cause(failure)}; the process goes on to its end"
        report.write(text, failure)
