"""The life of a process's main interpreter, from the bootstrap's last line to the process's end."""

import os

import _wsgi_host

from . import interpreter, report


def main() -> None:
    """Sets the main interpreter of an httpd child up, parks, and has all interpreters end; does not return.

    Raises what `interpreter.setup()` raises, before the process takes any request.
    """
    set_up("")
    end_after(_wsgi_host.park)


def set_up(application_group) -> None:
    """`interpreter.setup()`, without what was only meant for this interpreter's start."""
    settings = _wsgi_host.settings()
    # Programs that applications run are not to inherit it.
    if "hash_seed" in settings:
        os.environ.pop("PYTHONHASHSEED", None)
    # Interpreters that are made later find it in the process's environment.
    if settings.get("python_eggs"):
        os.environ["PYTHON_EGG_CACHE"] = settings["python_eggs"]
    interpreter.setup(application_group)


def end_after(*steps) -> None:
    """Takes the steps, and has all interpreters end after them; does not return."""
    for step in (*steps, _wsgi_host.interpreters_exit):
        try:
            step()
        except BaseException as failure:
            # An application's _thread.interrupt_main(), say: the steps that follow are still owed.
            report.write(f"WSGI0301: a step of the process's end failed: {report.cause(failure)}; going on", failure)
    _wsgi_host.done()
