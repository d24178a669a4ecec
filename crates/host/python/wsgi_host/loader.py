"""WSGI script files as modules: found by path, loaded once, loaded again when they change.

Each script has its own lock, so a slow import of one holds up nobody who wants another. While a
changed script is being loaded, and when its new version fails, the version before goes on serving, but
not where it says who is let in.

Source: mod_wsgi documentation, "Reloading Source Code"; docs/differences.md for what is done otherwise.
"""

import os
from _thread import allocate_lock, get_ident
from time import monotonic

from . import log, report, script_module

INTERNAL_SERVER_ERROR = 500
FORBIDDEN = 403
NOT_FOUND = 404

# Seconds until a script that failed is tried again: doubled from the first to the longest.
FIRST_RETRY_S = 1
LONGEST_RETRY_S = 60

# Seconds that a request waits for another thread's import before the log says so.
PATIENCE_S = 30


class Codes:
    """What a failure is logged as: log codes, what happens next, whether an earlier version may stand in, and whether a
    script that is missing is what the URL names.
    """

    def __init__(self, unreadable, raised, exited, consequence, forbidden=None, keeps_old=True, is_named=False):
        """`forbidden` is what happens next where the file is not to be run, if that is another thing."""
        self.unreadable = unreadable
        self.raised = raised
        self.exited = exited
        self.consequence = consequence
        self.forbidden = forbidden or consequence
        self.keeps_old = keeps_old
        self.is_named = is_named


REQUEST_CODES = Codes("WSGI0105", "WSGI0109", "WSGI0107", "answering 500", "answering 403", is_named=True)
# Of a handler script httpd does not look whether it is there, nor is it what the URL names.
HANDLER_CODES = Codes("WSGI0105", "WSGI0109", "WSGI0107", "answering 500", "answering 403")
# Who is let in is not for a version to say that its author has replaced.
QUESTION_CODES = Codes("WSGI0105", "WSGI0109", "WSGI0107", "what it was asked has no answer", keeps_old=False)
IMPORT_CODES = Codes("WSGI0106", "WSGI0110", "WSGI0108", "the first request tries again")


class Loader:
    """The scripts of one interpreter. `clock` gives seconds that never run backwards.

    `owner` is whose scripts have to be (`owner.of()`), None for anybody's.
    """

    def __init__(self, reporter, case_sensitive=True, clock=monotonic, owner=None):
        self._opened = script_module.opened if owner is None else owner.opened
        self._reporter = reporter
        self._case_sensitive = case_sensitive
        self._clock = clock
        self._scripts = {}

    def load(self, path, mtime_us, reloading, resource, any_owner=False):
        """The module of a script, or an HTTP status after having logged why there is none.

        `mtime_us` is the file's modification time in microseconds since 1970 as httpd saw it;
        `reloading` says whether a change is looked for at all; `resource` is passed to the script's
        `reload_required()`: the script itself, the file that a handler script answers for, or None for a
        script that is loaded before any request; `any_owner` runs one whoever it belongs to. Never raises.
        """
        return self._load(path, mtime_us, reloading, resource, _codes(path, resource), any_owner)

    def load_asked(self, path, mtime_us, reloading):
        """As `load()`, for a script that is asked about a request; what stands for a status is a number, too."""
        return self._load(path, mtime_us, reloading, path, QUESTION_CODES)

    def _load(self, path, mtime_us, reloading, resource, codes, any_owner=False):
        try:
            # Where case makes no difference, two spellings are one script.
            key = path if self._case_sensitive else path.lower()
            script = self._scripts.get(key)
            if script is None:
                script = self._scripts.setdefault(key, self._script(path))
            opened = script_module.opened if any_owner else self._opened
            return script.current(mtime_us, reloading, resource, codes, opened)
        except BaseException as failure:
            report.write(_failed(codes.unreadable, path, failure, codes.consequence), failure)
            return INTERNAL_SERVER_ERROR

    def is_reload_required(self, path, resource):
        """Whether a loaded script's own function of that name says that it is out of date; never raises."""
        script = self._scripts.get(path if self._case_sensitive else path.lower())
        return script is not None and script.is_reload_required(resource)

    def _script(self, path):
        return Script(path, script_module.name(path, self._case_sensitive), self._reporter, self._clock)


class Script:
    """One script file, the module made of it, and its last failure."""

    def __init__(self, path, name, reporter, clock):
        self._path = path
        self._name = name
        self._reporter = reporter
        self._clock = clock
        self._lock = allocate_lock()
        self._loading_thread = None
        self._module = None
        self._failure = None

    def current(self, mtime_us, reloading, resource, codes, opened):
        """See `Loader.load()`; `opened` opens the file."""
        module = self._module
        if module is None:
            return self._load_first(mtime_us, codes, opened)
        if not reloading:
            return module
        if mtime_us != module.__dict__.get("__mtime__"):
            return self._reload_changed(module, codes, opened)
        if self._is_reload_required(module, resource):
            return self._reload_on_demand(module, mtime_us, codes, opened)
        return module

    def is_reload_required(self, resource):
        """See `Loader.is_reload_required()`."""
        module = self._module
        return module is not None and self._is_reload_required(module, resource)

    def _load_first(self, mtime_us, codes, opened):
        if self._loading_thread == get_ident():
            text = f"{self._path} asks for itself while it is being loaded; {codes.consequence}"
            self._reporter.text("WSGI0303", text, log.ERROR)
            return INTERNAL_SERVER_ERROR
        self._wait_for_lock()
        try:
            if self._module is not None:
                # Another thread has loaded it meanwhile.
                return self._module
            mtime_us = self._mtime_now(mtime_us)
            if self._is_too_early(mtime_us):
                self._log_wait(codes)
                return INTERNAL_SERVER_ERROR
            return self._execute(mtime_us, codes, opened)
        finally:
            self._lock.release()

    def _reload_changed(self, module, codes, opened):
        if not self._begin_reload(codes):
            return module if codes.keeps_old else INTERNAL_SERVER_ERROR
        try:
            # httpd may have looked at the file before the change that has been loaded since.
            mtime_us = self._mtime_now(None)
            if mtime_us == self._module.__dict__.get("__mtime__"):
                return self._module
            if self._is_too_early(mtime_us):
                return self._old(codes)
            return self._execute(mtime_us, codes, opened)
        finally:
            self._lock.release()

    def _reload_on_demand(self, module, mtime_us, codes, opened):
        if not self._begin_reload(codes):
            return module if codes.keeps_old else INTERNAL_SERVER_ERROR
        try:
            if self._module is not module:
                return self._module
            if self._is_too_early(mtime_us):
                return self._old(codes)
            return self._execute(mtime_us, codes, opened)
        finally:
            self._lock.release()

    def _begin_reload(self, codes):
        """Takes the lock; False if another thread loads the new version, for which nobody waits if the old one will do."""
        if self._lock.acquire(blocking=False):
            return True
        if codes.keeps_old or self._loading_thread == get_ident():
            return False
        self._wait_for_lock()
        return True

    def _old(self, codes):
        """The version before one that cannot be loaded and is not tried yet, where that may stand in."""
        if codes.keeps_old:
            return self._module
        self._log_wait(codes)
        return INTERNAL_SERVER_ERROR

    def _wait_for_lock(self):
        if self._lock.acquire(timeout=PATIENCE_S):
            return
        text = f"Waiting for another thread to load Python script file '{self._path}', {PATIENCE_S} s so far."
        log.write(log.INFO, text)
        self._lock.acquire()

    def _is_reload_required(self, module, resource):
        required = module.__dict__.get("reload_required")
        if required is None:
            return False
        try:
            return bool(required(resource))
        except BaseException as failure:
            self._reporter.exception(failure, "reload_required")
            return False

    def _mtime_now(self, otherwise):
        """The file's time in µs; `otherwise` if it cannot be had, which the attempt to read it will explain."""
        try:
            return os.stat(self._path).st_mtime_ns // 1000
        except OSError:
            return otherwise

    def _is_too_early(self, mtime_us):
        failure = self._failure
        return failure is not None and failure.mtime_us == mtime_us and self._clock() < failure.retry_at

    def _execute(self, mtime_us, codes, opened):
        """Makes a module of the file as it is now; the lock is held."""
        self._loading_thread = get_ident()
        code_of_failure = codes.unreadable
        try:
            self._log_start()
            code = script_module.compiled(self._path, opened)
            code_of_failure = codes.raised
            self._module = script_module.run(code, self._name, self._path, mtime_us)
        except script_module.Refused as refusal:
            # Nothing to remember: a file gets another owner without getting another time.
            self._reporter.text(refusal.code, f"{refusal}; {codes.forbidden}", log.ERROR)
            return FORBIDDEN
        except SystemExit as failure:
            return self._fail(codes.exited, failure, mtime_us, codes)
        except BaseException as failure:
            return self._fail(code_of_failure, failure, mtime_us, codes)
        finally:
            self._loading_thread = None
        self._failure = None
        return self._module

    def _log_start(self):
        verb = "Loading" if self._module is None else "Reloading"
        log.write(log.INFO, f"{verb} Python script file '{self._path}' in {self._reporter.place()}.")

    def _fail(self, code, failure, mtime_us, codes):
        """Logs and remembers a failed attempt; the module before, if any, or a status."""
        is_missing = isinstance(failure, (FileNotFoundError, NotADirectoryError)) and not os.path.exists(self._path)
        # Only a script that the URL names can be answered with 404; any other is an ordinary failure.
        if is_missing and codes.is_named:
            text = f"{self._path} has vanished before it could be loaded; answering 404"
            self._reporter.text("WSGI0135", text, log.ERROR)
            return NOT_FOUND
        before = self._failure
        self._failure = Failure(failure, mtime_us, self._clock(), before)
        if self._module is None or not codes.keeps_old:
            report.write(_failed(code, self._path, failure, codes.consequence), failure)
            return INTERNAL_SERVER_ERROR
        self._log_failed_reload(code, failure, is_first=before is None or before.mtime_us != mtime_us)
        return self._module

    def _log_failed_reload(self, code, failure, is_first):
        if is_first:
            what = "the version loaded before goes on serving"
            report.write(_failed(code, self._path, failure, what), failure)
        else:
            log.write(log.INFO, f"Python script file '{self._path}' still cannot be reloaded: {report.cause(failure)}.")

    def _log_wait(self, codes):
        first, now = self._failure, self._clock()
        self._reporter.text(
            "WSGI0304",
            f"{self._path} is not tried again yet: {now - first.since:.0f} s ago it could not be loaded "
            f"({first.cause}); next try in {first.retry_at - now:.1f} s or when it changes, {codes.consequence}",
            log.ERROR,
        )


class Failure:
    """A failed attempt to load a version of a script, and when the next one is due.

    `since` and `cause` are those of the first failure of the version.
    """

    def __init__(self, failure, mtime_us, now, before):
        again = before is not None and before.mtime_us == mtime_us
        self.mtime_us = mtime_us
        self.since = before.since if again else now
        self.cause = before.cause if again else report.cause(failure)
        self.delay_s = min(before.delay_s * 2, LONGEST_RETRY_S) if again else FIRST_RETRY_S
        self.retry_at = now + self.delay_s


def _codes(path, resource):
    if resource is None:
        return IMPORT_CODES
    return REQUEST_CODES if resource == path else HANDLER_CODES


def _failed(code, path, failure, consequence):
    return f"{code}: cannot load Python script file '{path}': {report.cause(failure)}; {consequence}"
