"""`signal.signal` as applications get it: httpd owns the signals of its children, a worker its own.

Source: docs of WSGIRestrictSignal.
"""

import os
import signal as _signal
from operator import index

from . import log


def restrict() -> None:
    """Replaces `signal.signal` in this interpreter by a function that registers nothing.

    The replacement returns the handler in place, as `signal.signal` documents, and logs at level info
    who called it. In a process that the application forked (another pid) it is `signal.signal` again.
    `signal.getsignal` is not touched.
    """
    register = _signal.signal
    owner = os.getpid()

    def signal(signalnum, handler):
        if os.getpid() != owner:
            return register(signalnum, handler)
        # TypeError for what is no number, ValueError for a number that is no signal.
        previous = _signal.getsignal(index(signalnum))
        _log_refusal(index(signalnum))
        return previous

    signal.__doc__ = register.__doc__
    signal.__module__ = register.__module__
    signal.__wrapped__ = register
    _signal.signal = signal


def announce(descriptor) -> None:
    """Has handlers of a worker's application run soon after the signal, although its main thread waits without Python."""
    _signal.set_wakeup_fd(descriptor, warn_on_full_buffer=False)


def _log_refusal(signalnum):
    if not log.is_logged(log.INFO):
        return
    import traceback

    # The last two frames are this function and the replacement.
    stack = "".join(traceback.format_list(traceback.extract_stack()[:-2]))
    log.write_record(
        log.INFO,
        f"Ignoring Python signal handler registration for signal {signalnum} in WSGI process; "
        f"mod_wsgi manages signals. Called from:\n{stack}".rstrip("\n"),
    )
