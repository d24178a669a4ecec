"""The life of a process's main interpreter, from the bootstrap's last line to the process's end."""

import os

import _wsgi_host

from . import interpreter, report


def main() -> None:
    """Sets the main interpreter up, parks, and has all interpreters end; does not return.

    Raises what `interpreter.setup()` raises, before the process takes any request.
    """
    # Set for this interpreter's start alone; programs that applications run are not to inherit it.
    if "hash_seed" in _wsgi_host.settings():
        os.environ.pop("PYTHONHASHSEED", None)
    interpreter.setup("")
    for step in (_wsgi_host.park, _wsgi_host.interpreters_exit):
        try:
            step()
        except BaseException as failure:
            # An application's _thread.interrupt_main(), say: the steps that follow are still owed.
            report.write(f"WSGI0301: a step of the process's end failed: {report.cause(failure)}; going on", failure)
    _wsgi_host.done()
