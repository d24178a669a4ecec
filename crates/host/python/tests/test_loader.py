"""Script files as modules."""

import copy
import os
import re
import sys
import threading
import types
from hashlib import md5
from importlib.machinery import SourceFileLoader

import pytest
from wsgi_host import loader, owner, script_module
from wsgi_host.loader import Loader
from wsgi_host.report import Reporter


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


class ScriptFile:
    """A script on disk; each `write()` gives it a later modification time, as an edit does."""

    def __init__(self, path):
        self.path = str(path)
        self.mtime_us = 1_700_000_000_000_000

    def write(self, source):
        with open(self.path, "wb") as file:
            file.write(source if isinstance(source, bytes) else source.encode())
        return self.touch()

    def touch(self):
        self.mtime_us += 1_000_001
        os.utime(self.path, ns=(self.mtime_us * 1000, self.mtime_us * 1000))
        return self


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def scripts(host, clock):
    return Loader(Reporter("", host.values), clock=clock)


@pytest.fixture
def script(tmp_path):
    file = ScriptFile(tmp_path / "site.wsgi")
    yield file
    sys.modules.pop(script_module.name(file.path), None)


@pytest.fixture
def load(scripts, script):
    def load(reloading=True, resource=script.path):
        return scripts.load(script.path, script.mtime_us, reloading, resource)

    return load


def test_a_script_is_a_module_named_after_its_path(script, load):
    script.write("application = 1")
    module = load()
    name = "_mod_wsgi_" + md5(script.path.encode()).hexdigest()
    assert type(module) is types.ModuleType
    assert sys.modules[name] is module
    assert (module.__name__, module.__file__, module.__mtime__) == (name, script.path, script.mtime_us)
    assert (module.__package__, module.__spec__.name, module.__spec__.origin) == (None, name, script.path)
    assert isinstance(module.__loader__, SourceFileLoader)
    assert module.__spec__.loader is module.__loader__


def test_a_path_counts_in_lower_case_where_case_does_not_matter():
    assert script_module.name("/srv/Site.wsgi", False) == script_module.name("/srv/site.wsgi")
    assert script_module.name("/srv/Site.wsgi") != script_module.name("/srv/site.wsgi")


def test_a_path_that_is_no_utf8_has_a_name():
    assert script_module.name(os.fsdecode(b"/srv/\xff.wsgi")) == "_mod_wsgi_" + md5(b"/srv/\xff.wsgi").hexdigest()


def test_a_script_sees_itself_in_sys_modules_while_it_runs(script, load):
    script.write("import sys\nassert sys.modules[__name__].__dict__ is globals()\nseen = True")
    assert load().seen


def test_dataclasses_and_pickle_work_in_a_script(script, load):
    script.write(
        "import dataclasses, pickle\n@dataclasses.dataclass\nclass Point:\n    x: int\n"
        "copy = pickle.loads(pickle.dumps(Point(1)))"
    )
    assert load().copy.x == 1


def test_no_bytecode_is_written_and_sys_path_is_left_alone(script, load, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    path = list(sys.path)
    script.write("")
    load()
    assert os.listdir(tmp_path) == ["site.wsgi"]
    assert sys.path == path


def test_the_declared_encoding_is_honoured(script, load):
    script.write(b"# -*- coding: latin-1 -*-\ntext = '\xe9'")
    assert load().text == "\xe9"


def test_a_byte_order_mark_is_accepted(script, load):
    script.write(b"\xef\xbb\xbftext = '\xc3\xa9'")
    assert load().text == "\xe9"


def test_an_unchanged_script_is_loaded_once(host, script, load):
    script.write("")
    assert load() is load()
    assert [text for text in host.text() if "Loading" in text] == [
        f"Loading Python script file '{script.path}' in main interpreter in embedded mode."
    ]


def test_a_changed_script_is_loaded_again_and_the_old_module_lives_on(host, script, load):
    script.write("value = 1")
    old = load()
    script.write("value = 2")
    new = load()
    assert (old.value, new.value) == (1, 2)
    assert sys.modules[old.__name__] is new
    assert new.__mtime__ == script.mtime_us
    assert host.text()[-1].startswith(f"Reloading Python script file '{script.path}'")


def test_an_older_modification_time_is_a_change_too(script, load):
    script.write("")
    old = load()
    script.mtime_us -= 10_000_000
    script.touch()
    assert load() is not old


def test_a_change_is_ignored_without_reloading(script, load):
    script.write("value = 1")
    old = load()
    script.write("value = 2")
    assert load(reloading=False) is old


def test_a_request_that_saw_the_file_before_the_change_gets_the_new_module(script, scripts, load):
    script.write("")
    load()
    before = script.mtime_us
    script.touch()
    new = load()
    assert scripts.load(script.path, before, True, "") is new
    assert load() is new


def test_reload_required_is_asked_with_the_resource(script, load):
    script.write("asked = []\ndef reload_required(resource):\n    asked.append(resource)")
    module = load()
    assert load(resource="/srv/one") is module
    assert module.asked == ["/srv/one"]


def test_reload_required_can_ask_for_a_reload(script, load):
    script.write("def reload_required(resource): return resource == '/srv/go'")
    module = load()
    assert load(resource="/srv/stay") is module
    assert load(resource="/srv/go") is not module


def test_an_exception_in_reload_required_means_no(request_, host, script, load):
    script.write("def reload_required(resource): raise ValueError('odd')")
    module = load()
    assert load() is module
    assert any("WSGI0174" in text and "reload_required" in text for text in host.text())
    assert host.text()[-1] == "ValueError: odd"


def failure_of(host, code):
    """The headline with that code, and the lines after it."""
    lines = host.text()
    at = next(number for number, text in enumerate(lines) if text.startswith(code))
    return lines[at], lines[at + 1 :]


def test_a_syntax_error_is_logged_with_its_line(host, script, load):
    script.write("x = 1\nx = = 2\n")
    assert load() == 500
    headline, rest = failure_of(host, "WSGI0105")
    assert headline.startswith(f"WSGI0105: cannot load Python script file '{script.path}': SyntaxError: invalid syntax")
    assert headline.endswith("; answering 500")
    assert f'  File "{script.path}", line 2' in rest
    assert "    x = = 2" in rest


def test_a_nul_is_a_syntax_error(host, script, load):
    script.write(b"x = 1\ny = '\0'\n")
    assert load() == 500
    headline, rest = failure_of(host, "WSGI0105")
    assert "SyntaxError: source code contains a NUL byte" in headline
    assert f'  File "{script.path}", line 2' in rest


def test_an_exception_in_the_script_is_logged_with_the_scripts_own_line_first(host, script, load):
    script.write("import no_such_module_anywhere\n")
    assert load() == 500
    headline, rest = failure_of(host, "WSGI0109")
    assert "ModuleNotFoundError: No module named 'no_such_module_anywhere'; answering 500" in headline
    assert rest[:3] == [
        "Traceback (most recent call last):",
        f'  File "{script.path}", line 1, in <module>',
        "    import no_such_module_anywhere",
    ]


def test_a_syntax_error_in_what_the_script_imports_shows_both_files(host, script, load, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "broken_import_of_script.py").write_text("= 1\n")
    script.write("import broken_import_of_script\n")
    assert load() == 500
    _, rest = failure_of(host, "WSGI0109")
    assert any(f'"{script.path}", line 1, in <module>' in text for text in rest)
    assert any("broken_import_of_script.py" in text for text in rest)


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("import sys; sys.exit('bye')", "WSGI0107"),
        ("raise KeyboardInterrupt", "WSGI0109"),
        ("raise GeneratorExit", "WSGI0109"),
        ("class Odd(BaseException):\n  def __str__(self): 1/0\nraise Odd", "WSGI0109"),
    ],
)
def test_no_exception_leaves_the_loader(host, script, load, source, code):
    script.write(source)
    assert load() == 500
    failure_of(host, code)


def test_the_half_built_module_is_gone_after_a_failure(script, load):
    script.write("1/0")
    assert load() == 500
    assert script_module.name(script.path) not in sys.modules


def test_a_script_that_has_vanished_is_not_found(host, script, load):
    assert load() == 404
    assert load() == 404
    assert host.text()[-1] == f"WSGI0135: {script.path} has vanished before it could be loaded; answering 404"
    script.write("")
    assert load().__file__ == script.path


def test_a_loaded_script_that_vanishes_is_not_found(script, load):
    script.write("")
    load()
    os.unlink(script.path)
    script.mtime_us += 1
    assert load() == 404


def test_a_handler_script_that_is_missing_is_an_error_of_the_server(host, script, load):
    assert load(resource="/srv/page") == 500
    failure_of(host, "WSGI0105")


def test_an_equal_set_of_codes_answers_alike(script, scripts):
    codes = copy.copy(loader.REQUEST_CODES)
    assert scripts._load(script.path, script.mtime_us, True, script.path, codes) == 404


def test_a_loaded_handler_script_that_vanishes_goes_on(host, script, load):
    script.write("")
    module = load(resource="/srv/page")
    os.unlink(script.path)
    script.mtime_us = 0
    assert load(resource="/srv/page") is module
    failure_of(host, "WSGI0105")


def test_a_missing_file_that_the_script_opens_is_the_scripts_failure(host, script, load):
    script.write("open('/no/such/file/at/all')")
    assert load() == 500
    failure_of(host, "WSGI0109")


def test_a_directory_cannot_be_loaded(host, script, load):
    os.mkdir(script.path)
    assert load() == 500
    assert "IsADirectoryError" in failure_of(host, "WSGI0105")[0]


def test_a_failed_script_is_not_tried_again_at_once(host, script, load, clock):
    script.write("1/0")
    load()
    host.reset()
    clock.now += 0.5
    assert load() == 500
    assert host.text() == [
        f"WSGI0304: {script.path} is not tried again yet: 0 s ago it could not be loaded "
        "(ZeroDivisionError: division by zero); next try in 0.5 s or when it changes, answering 500"
    ]


def test_the_wait_doubles_up_to_a_minute(host, script, load, clock):
    script.write("1/0")
    waits = []
    for _ in range(9):
        load()
        failed_at = clock.now
        while not is_tried(host, load):
            clock.now += 0.5
        waits.append(clock.now - failed_at)
        clock.now += 3600
    # Each round looks at the wait after an odd number of failures: the try that is_tried() saw counts too.
    assert waits == [1, 4, 16, 60, 60, 60, 60, 60, 60]


def is_tried(host, load):
    host.reset()
    load()
    return any("oading Python script file" in text for text in host.text())


def test_a_change_of_the_file_ends_the_wait(script, load):
    script.write("1/0")
    assert load() == 500
    script.write("value = 2")
    assert load().value == 2


def test_a_script_that_recovers_starts_with_a_short_wait_again(host, script, load, clock, tmp_path):
    flag = tmp_path / "flag"
    script.write(
        f"import os\nif not os.path.exists({str(flag)!r}): raise OSError('not yet')\n"
        "def reload_required(resource): return True"
    )
    for _ in range(5):
        assert load() == 500
        clock.now += 61
    flag.touch()
    module = load()
    assert module.__file__ == script.path
    flag.unlink()
    assert load() is module
    clock.now += 1.5
    assert is_tried(host, load)


def test_a_failed_reload_leaves_the_old_version_serving(host, script, load):
    script.write("value = 1")
    old = load()
    script.write("1/0")
    assert load() is old
    assert sys.modules[old.__name__] is old
    headline, rest = failure_of(host, "WSGI0109")
    assert headline.endswith("ZeroDivisionError: division by zero; the version loaded before goes on serving")
    assert f'  File "{script.path}", line 1, in <module>' in rest


def test_a_failed_reload_is_logged_once_for_each_change(host, script, load, clock):
    script.write("")
    load()
    for _ in range(2):
        script.write("1/0")
        host.reset()
        for _ in range(5):
            load()
            clock.now += 61
        levels = [level for level, line in host.lines if b"ZeroDivisionError" in line]
        assert levels.count(3) == 1, "the headline, with the traceback"
        assert any("still cannot be reloaded" in text for text in host.text())


def test_a_script_that_is_asked_does_not_fall_back_on_its_old_version(host, script, scripts, clock):
    ask = lambda: scripts.load_asked(script.path, script.mtime_us, True)  # noqa: E731
    script.write("x = 1")
    assert ask().x == 1
    script.write("1 / 0")
    assert ask() == 500
    headline, _ = failure_of(host, "WSGI0109")
    assert headline.endswith("division by zero; what it was asked has no answer")
    assert ask() == 500
    assert host.text()[-1].startswith("WSGI0304") and host.text()[-1].endswith("what it was asked has no answer")
    script.write("x = 2")
    assert ask().x == 2


def test_a_mended_script_replaces_the_old_version(script, load):
    script.write("value = 1")
    load()
    script.write("1/0")
    load()
    script.write("value = 3")
    assert load().value == 3


@pytest.fixture
def gate(monkeypatch):
    """A module `gate` for scripts: they say `entered.set()` and wait until the test says `go.set()`."""
    module = types.ModuleType("gate")
    module.entered, module.go = threading.Event(), threading.Event()
    monkeypatch.setitem(sys.modules, "gate", module)
    yield module
    module.go.set()


WAITS = "import gate\ngate.entered.set()\nassert gate.go.wait(10)\n"


class Loading:
    """A load on a thread of its own."""

    def __init__(self, load):
        self.result = None
        self._thread = threading.Thread(target=self._run, args=(load,))
        self._thread.start()

    def _run(self, load):
        self.result = load()

    def wait(self):
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self.result

    def is_running(self):
        return self._thread.is_alive()


def test_concurrent_first_requests_import_once(host, script, load, gate):
    script.write(WAITS)
    first = Loading(load)
    assert gate.entered.wait(10)
    others = [Loading(load) for _ in range(5)]
    assert all(other.is_running() for other in others)
    gate.go.set()
    assert {id(loading.wait()) for loading in [first, *others]} == {id(first.result)}
    assert type(first.result) is types.ModuleType
    assert len([text for text in host.text() if "Loading" in text]) == 1


def test_a_slow_import_of_one_script_does_not_hold_up_another(script, scripts, load, gate, tmp_path):
    script.write(WAITS)
    slow = Loading(load)
    assert gate.entered.wait(10)
    other = ScriptFile(tmp_path / "other.wsgi").write("value = 1")
    assert scripts.load(other.path, other.mtime_us, True, "").value == 1
    assert slow.is_running()
    gate.go.set()
    assert slow.wait().__file__ == script.path


def test_while_a_new_version_loads_the_old_one_serves(script, load, gate):
    script.write("")
    old = load()
    script.write(WAITS)
    reloading = Loading(load)
    assert gate.entered.wait(10)
    assert load() is old
    gate.go.set()
    assert reloading.wait() is not old
    assert load() is reloading.result


def test_a_script_that_asks_for_itself_while_loading_is_refused(host, scripts, script, load, monkeypatch):
    module = types.ModuleType("recursion")
    module.load = load
    monkeypatch.setitem(sys.modules, "recursion", module)
    script.write("import recursion\ninner = recursion.load()")
    assert load().inner == 500
    assert f"WSGI0303: {script.path} asks for itself while it is being loaded; answering 500" in host.text()


def test_a_long_wait_for_another_threads_import_is_logged(host, script, load, gate, monkeypatch):
    monkeypatch.setattr(loader, "PATIENCE_S", 0.01)
    script.write(WAITS)
    first = Loading(load)
    assert gate.entered.wait(10)
    second = Loading(load)
    waited = threading.Event()
    monkeypatch.setattr(host, "log", lambda level, line: b"Waiting for another thread" in line and waited.set())
    assert waited.wait(10)
    gate.go.set()
    assert second.wait() is first.wait()


def test_two_spellings_are_one_script_where_case_does_not_matter(host, script, clock):
    script.write("")
    spelt = script.path.replace("site.wsgi", "SITE.wsgi")
    os.symlink(script.path, spelt)
    scripts = Loader(Reporter("", host.values), case_sensitive=False, clock=clock)
    module = scripts.load(script.path, script.mtime_us, True, "/srv/resource")
    assert scripts.load(spelt, script.mtime_us, True, "/srv/resource") is module


def test_an_import_script_fails_with_codes_of_its_own(host, script, scripts):
    for source, code in ((None, "WSGI0106"), ("def (", "WSGI0106"), ("1 / 0", "WSGI0110"), ("raise SystemExit", "WSGI0108")):
        if source is not None:
            script.write(source)
        scripts._scripts.clear()
        scripts.load(script.path, script.mtime_us, True, None)
        assert any(line.startswith(code) and "the first request tries again" in line for line in host.text()), code


# -- script-user and script-group


def owned(host, **options):
    host.values.update(process_group="site", **{name: str(number) for name, number in options.items()})
    return Loader(Reporter("", host.values), owner=owner.of(host.values))


def test_anybodys_scripts_are_run_where_no_owner_is_asked_for(host):
    assert owner.of(host.values) is None


@pytest.mark.parametrize(("option", "number"), [("script_user", os.getuid), ("script_group", os.getgid)])
def test_a_script_of_the_owner_is_run(host, script, option, number):
    script.write("application = 1")
    for path in (script.path, os.path.dirname(script.path)):
        os.chown(path, os.getuid(), os.getgid())
    os.chmod(os.path.dirname(script.path), 0o711)
    module = owned(host, **{option: number()}).load(script.path, script.mtime_us, True, script.path)
    assert module.application == 1


@pytest.mark.parametrize(
    ("option", "mode", "directory_mode", "text"),
    [
        ("script_user", 0o664, 0o755, "WSGI0162: .*'{path}' can be written by its group; answering 403"),
        ("script_user", 0o646, 0o755, "WSGI0162: .*'{path}' can be written by everybody; answering 403"),
        ("script_user", 0o644, 0o775, "WSGI0162: .*'{directory}' can be written by its group; answering 403"),
        ("script_group", 0o646, 0o755, "WSGI0153: .*'{path}' can be written by everybody; answering 403"),
        ("script_group", 0o644, 0o757, "WSGI0153: .*'{directory}' can be written by everybody; answering 403"),
    ],
)
def test_a_script_that_others_could_have_written_is_not_run(host, script, option, mode, directory_mode, text):
    script.write("raise AssertionError('it runs')")
    directory = os.path.dirname(script.path)
    os.chmod(script.path, mode)
    os.chmod(directory, directory_mode)
    for path in (script.path, directory):
        os.chown(path, os.getuid(), os.getgid())
    scripts = owned(host, **{option: os.getuid() if option == "script_user" else os.getgid()})
    assert scripts.load(script.path, script.mtime_us, True, script.path) == 403
    pattern = text.format(path=re.escape(script.path), directory=re.escape(directory))
    assert re.fullmatch(pattern, host.text()[-1])
    assert "script is not to be run by daemon process 'site': " in host.text()[-1]


def test_a_script_of_another_owner_is_not_run_until_it_is_the_owners(host, script):
    script.write("application = 1")
    scripts = owned(host, script_user=os.getuid() + 1)
    assert scripts.load(script.path, script.mtime_us, True, script.path) == 403
    expected = f"'{script.path}' belongs to user {os.getuid()} and not to script-user {os.getuid() + 1}; answering 403"
    assert host.text()[-1].endswith(expected)
    assert scripts.load_asked(script.path, script.mtime_us, True) == 403
    assert host.text()[-1].endswith("what it was asked has no answer")
    assert scripts.load(script.path, script.mtime_us, True, None) == 403
    assert host.text()[-1].endswith("the first request tries again")
    # No failure that is waited for.
    assert not any("WSGI0304" in line for line in host.text())
    assert scripts.load(script.path, script.mtime_us, True, None, True).application == 1


def test_the_file_that_is_looked_at_is_the_one_that_is_read(host, script, tmp_path, monkeypatch):
    """Between the look and the reading the name comes to stand for another file."""
    script.write("application = 'good'")
    other = tmp_path / "other.py"
    other.write_text("application = 'bad'")
    fstat = os.fstat

    def swapping(descriptor):
        found = fstat(descriptor)
        if other.exists():
            os.replace(other, script.path)
        return found

    monkeypatch.setattr(os, "fstat", swapping)
    assert owned(host, script_user=os.getuid()).load(script.path, 0, True, script.path).application == "good"


def test_a_script_that_is_not_there_is_told_as_ever(host, script):
    scripts = owned(host, script_user=os.getuid())
    assert scripts.load(script.path, 0, True, script.path) == 404
    assert host.text()[-1].startswith("WSGI0135: ")
