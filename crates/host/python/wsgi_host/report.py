"""Exceptions as error-log records: a headline with a code, then the whole traceback."""

import os

import _wsgi_host

from . import log

# Of an exception's text in a headline (characters). The traceback has all of it.
LONGEST_CAUSE = 500

_OWN_FRAMES = os.path.dirname(os.path.abspath(__file__)) + os.sep

_STAGES = {
    "application": "",
    "iteration": " (while iterating over the response)",
    "close": " (in close() of the response)",
    "reload_required": " (in reload_required(), whose answer is taken as no)",
}


def _stage(stage):
    """Where an exception came from, as the middle of a headline."""
    # What is no stage of a request is a function that was asked about one.
    return _STAGES[stage] if stage in _STAGES else f" (in {stage}(), whose answer is taken as a failure)"


class Reporter:
    """Names the interpreter that it is made for in each report.

    Source: WSGI0174 and WSGI0175 in docs/error-reference.md.
    """

    def __init__(self, application_group, settings):
        self._place = _place(application_group, settings)

    def rename(self, application_group, settings) -> None:
        """The application group has got its name."""
        self._place = _place(application_group, settings)

    def exception(self, exception, stage) -> None:
        """Logs an exception that left the application, for the current request; never raises.

        `stage` is "application", "iteration", "close", "reload_required", or the function of a script that was asked.
        """
        request = _wsgi_host.current()
        script = "unknown" if request is None else request.script
        headline = (
            f"{type(exception).__name__} exception raised processing WSGI script "
            f"'{script}'{_stage(stage)} for {self._place}"
        )
        if isinstance(exception, SystemExit):
            # The exit is ignored, since other requests share the process.
            write(f"WSGI0175: {headline}; the exit is ignored, and the request fails", exception)
        else:
            write(f"WSGI0174: {headline}: {cause(exception)}", exception)

    def text(self, code, text, level) -> None:
        """Logs `code: text` for the current request; never raises."""
        log.write(level, f"{code}: {text}")

    def place(self) -> str:
        """The interpreter and the process it is in, as the last words of a log line."""
        return self._place


def write(headline: str, exception: BaseException) -> None:
    """Logs the headline and the exception's traceback as one record at level error; never raises."""
    try:
        text = "".join(_formatted(exception))
    except Exception as failure:
        # The exception's own class can be at fault: its __str__, its __cause__.
        text = f"{type(exception).__name__} (its traceback cannot be shown: {type(failure).__name__})"
    log.write_record(log.ERROR, f"{headline}\n{text}".rstrip("\n"))


def cause(exception: BaseException) -> str:
    """The exception in one line, as the last line of its traceback; not all of a long text."""
    try:
        text = str(exception)
    except Exception:
        text = "<exception str() failed>"
    name = type(exception).__name__
    if len(text) > LONGEST_CAUSE:
        text = text[:LONGEST_CAUSE] + "..."
    return f"{name}: {text}".replace("\n", " ") if text else name


def _formatted(exception):
    import traceback

    whole = traceback.TracebackException(type(exception), exception, exception.__traceback__)
    _leave_out_own_frames(whole)
    return whole.format()


def _leave_out_own_frames(whole):
    """Takes this package's frames out of an exception and of those it is chained to or groups."""
    waiting, seen = [whole], set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        one.stack[:] = [frame for frame in one.stack if not frame.filename.startswith(_OWN_FRAMES)]
        waiting += [one.__cause__, one.__context__]
        waiting += getattr(one, "exceptions", None) or []


def _place(application_group, settings):
    if settings["door"] == "daemon":
        group = f"application group '{application_group}'" if application_group else "main interpreter"
        return f"{group} of daemon process '{settings['process_group']}'"
    if application_group:
        interpreter = f"sub-interpreter '{application_group}'"
    else:
        interpreter = "main interpreter"
    return f"{interpreter} in embedded mode"
