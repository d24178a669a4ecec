"""<WSGIInterpreterOptions>: settings of some interpreters apart; and interpreters with a GIL of their own."""

import sys
import threading

import pytest

from harness.checklist import embedded_only, line, ours, ours_in_daemon
from harness.condition import wait_until
from harness.httpd import Httpd
from harness.installation import IS_OURS
from test_pythons import USABLE, named, version

FACTS = """
import json, sys, signal
import mod_wsgi

def answer(question):
    try:
        return question()
    except OSError as error:
        return str(error)

def application(environ, start_response):
    facts = {
        "path": sys.path,
        "switch_interval": sys.getswitchinterval(),
        "stdin": answer(lambda: bool(sys.stdin.read)) if sys.stdin else None,
        "stdout": answer(lambda: bool(sys.stdout.write)),
        # Python's own is a function of signal.py.
        "signal": not getattr(getattr(signal.signal, "__code__", None), "co_filename", "").endswith("/signal.py"),
        "group": mod_wsgi.application_group,
        "modules": [getattr(mod_wsgi, "__path__", None) and list(mod_wsgi.__path__)],
    }
    start_response("200 OK", [])
    return [json.dumps(facts).encode()]
"""

RESTRICTED = "sys.{} access restricted by mod_wsgi"


def block(selectors, *lines):
    return "\n".join([f"<WSGIInterpreterOptions {selectors}>", *lines, "</WSGIInterpreterOptions>", ""])


@pytest.fixture
def facts(new_site):
    """Starts a site with this configuration; what the application in each of the two interpreters sees."""

    def make(config, allowed=(), **settings):
        site = new_site(config, **settings)
        for name in "abcdef":
            (site.root / name).mkdir(mode=0o755)
        site.start()
        site.log.allow("Exception ignored|access restricted by mod_wsgi")
        for pattern in allowed:
            site.log.allow(pattern)
        main, sub = site.script(FACTS, "main").json(), site.script(FACTS, "sub").json()
        assert (main["group"], sub["group"]) == ("", "sub")
        return site, main, sub

    return make


def own_group(door):
    return "process-group=" + (door.process_group or "%{GLOBAL}")


@line("INT-03")
def test_restrictions_of_one_interpreter(facts):
    lines = ["WSGIRestrictStdin On", "WSGIRestrictStdout On", "WSGIRestrictSignal Off"]
    _, main, sub = facts(block("application-group=sub", *lines))
    assert (main["stdout"], main["signal"]) == (True, True)
    assert main["stdin"] != RESTRICTED.format("stdin")
    assert (sub["stdin"], sub["stdout"], sub["signal"]) == (RESTRICTED.format("stdin"), RESTRICTED.format("stdout"), False)


@line("INT-03")
def test_restrictions_of_the_main_interpreter(facts):
    _, main, sub = facts(block("application-group=%{GLOBAL}", "WSGIRestrictStdout On") + "WSGIRestrictSignal On\n")
    assert (main["stdout"], sub["stdout"]) == (RESTRICTED.format("stdout"), True)


@line("INT-01")
def test_the_section_with_more_selectors_counts_then_the_later_one_then_the_rest(facts, door):
    both = f"{own_group(door)} application-group=sub"
    restricted = RESTRICTED.format("stdout")

    def stdout_of_sub(*blocks, top="On"):
        return facts("".join(blocks) + f"WSGIRestrictStdout {top}\n")[2]["stdout"]

    off, on = "WSGIRestrictStdout Off", "WSGIRestrictStdout On"
    assert stdout_of_sub(block(both, off), block("application-group=sub", on), block(own_group(door), on)) is True
    assert stdout_of_sub(block("application-group=sub", off), block(own_group(door), on)) == restricted
    assert stdout_of_sub(block(own_group(door), on), block("application-group=sub", off)) is True
    assert stdout_of_sub(block("application-group=sub", off), block("", on)) is True
    # Another group's, and one that says nothing about it.
    assert stdout_of_sub(block("process-group=other", off), block(both, "WSGIRestrictStdin On")) == restricted


@line("INT-02")
def test_python_paths_add_up_and_the_most_specific_comes_first(facts, door):
    config = (
        "WSGIPythonPath {root}/a\n"
        + block(f"{own_group(door)} application-group=sub", "WSGIPythonPath {root}/d")
        + block("application-group=sub", "WSGIPythonPath {root}/c:{root}/e")
        + block("", "WSGIPythonPath {root}/b")
        + block("process-group=other", "WSGIPythonPath {root}/f")
    )
    site, main, sub = facts(config)

    def own(seen):
        return [entry.removeprefix(f"{site.root}/") for entry in seen["path"] if entry.startswith(str(site.root))]

    # A group has python-path in the place of WSGIPythonPath.
    base = [] if door.is_daemon else ["a"]
    assert own(main) == ["b", *base]
    assert own(sub) == ["d", "c", "e", "b", *base]
    assert sub["path"][:2] == [f"{site.root}/d", f"{site.root}/c"]


@ours
def test_modules_that_look_at_the_path_see_that_of_their_interpreter(facts, new_site):
    site = new_site(block("application-group=sub", "WSGIPythonPath {root}/a"))
    (site.root / "a" / "mod_wsgi").mkdir(mode=0o755, parents=True)
    (site.root / "a").chmod(0o755)
    (site.root / "a" / "mod_wsgi" / "__init__.py").write_text("")
    site.start()
    assert site.script(FACTS, "sub").json()["modules"] == [[f"{site.root}/a/mod_wsgi"]]
    assert site.script(FACTS, "main").json()["modules"] != [[f"{site.root}/a/mod_wsgi"]]


@line("INT-05")
@ours_in_daemon
def test_a_switch_interval_for_one_interpreter_needs_a_gil_for_it_alone(facts, door):
    """In a group each application has a process, and so a GIL, to itself."""
    config = block("application-group=sub", "WSGISwitchInterval 0.125")
    site, main, sub = facts(config, allowed=[] if door.is_daemon else ["WSGI0199"])
    assert main["switch_interval"] == 0.005
    if door.is_daemon:
        assert sub["switch_interval"] == 0.125
    else:
        site.log.expect("WSGI0199.*'sub'")
        assert sub["switch_interval"] == 0.005


def test_a_switch_interval_for_a_process_group_is_set(facts, door):
    _, main, sub = facts(block(own_group(door), "WSGISwitchInterval 0.125"))
    assert (main["switch_interval"], sub["switch_interval"]) == (0.125, 0.125)


def test_other_directives_in_a_section_act_for_all(facts):
    _, main, sub = facts(block("application-group=nobody", "WSGIRestrictEmbedded Off", "WSGICaseSensitivity On"))
    assert main["stdout"] is True and sub["stdout"] is True


@ours
def test_the_name_that_a_worker_gets_late_decides(new_daemon):
    """Both pools start without a name."""
    site = new_daemon("threads=2", block("application-group=sub", "WSGIRestrictStdout On", "WSGIPythonPath {root}/a")).start()
    (site.root / "a").mkdir()
    site.log.allow("WSGI0323")
    site.log.allow("Exception ignored|access restricted by mod_wsgi")
    sub, main = site.script(FACTS, "sub").json(), site.script(FACTS, "main").json()
    assert (sub["stdout"], main["stdout"]) == (RESTRICTED.format("stdout"), True)
    assert (f"{site.root}/a" in sub["path"], f"{site.root}/a" in main["path"]) == (True, False)


# -- interpreters with a GIL of their own

SINCE = (3, 12)
WITH = [home for home in USABLE if home is not None and version(home) >= SINCE]
WITHOUT = [home for home in USABLE if home is not None and version(home) < SINCE]
own_gils = pytest.mark.parametrize("home", WITH, ids=named)
ON = "WSGIPerInterpreterGIL On\n"

HOLD = """
import os

def application(environ, start_response):
    begun = environ["QUERY_STRING"]
    open(begun, "w").close()
    # One call into C, which does not let the GIL go.
    text = str(sum(range(150_000_000)))
    start_response("200 OK", [])
    return [text.encode()]
"""

HELLO = "def application(e, s):\n    s('200 OK', [])\n    return [b'hello']\n"


def overtakes(site):
    """Whether a request to the main interpreter is answered while one to the other holds its GIL."""
    holder, other = site.script(HOLD, "sub"), site.script(HELLO, "main")
    directory = site.root / "held"
    directory.mkdir()
    directory.chmod(0o777)
    begun = directory / "begun"
    other.get()
    thread = threading.Thread(target=holder.get, args=[f"?{begun}"])
    thread.start()
    wait_until(begun.exists, "the application to begin")
    assert other.get().body == b"hello"
    # Who has waited for the GIL is answered when the other is, more or less.
    thread.join(0.3)
    was_running = thread.is_alive()
    thread.join()
    return was_running


@line("PY-204", "INT-04")
@embedded_only("each application of a group has a process of its own")
@own_gils
def test_an_interpreter_with_its_own_gil_does_not_hold_up_others(new_site, home):
    site = new_site(ON, python_home=home).start()
    assert overtakes(site)
    (said,) = site.log.matching("creating sub-interpreter 'sub'|Creating sub-interpreter 'sub'")
    assert "GIL" in said.message


@embedded_only("each application of a group has a process of its own")
@own_gils
def test_without_the_directive_interpreters_share_the_gil(new_site, home):
    site = new_site(python_home=home).start()
    assert not overtakes(site)


@ours
def test_applications_of_a_group_never_hold_each_other_up(new_daemon):
    site = new_daemon("threads=2").start()
    assert overtakes(site)


@embedded_only("a process of a group has one interpreter")
@own_gils
def test_one_interpreter_alone_may_have_its_own_gil_and_its_own_switch_interval(new_site, home):
    config = block("application-group=sub", "WSGIPerInterpreterGIL On", "WSGISwitchInterval 0.125")
    site = new_site(config, python_home=home).start()
    assert site.script(FACTS, "sub").json()["switch_interval"] == 0.125
    assert site.script(FACTS, "main").json()["switch_interval"] == 0.005
    (said,) = site.log.matching("reating sub-interpreter 'sub'")
    assert "GIL" in said.message


BUSY = """
import atexit, json, logging, sys, threading, time
import mod_wsgi
logger = logging.Logger("own")
logger.addHandler(mod_wsgi.LogHandler())
atexit.register(print, "atexit of the interpreter")
local = threading.local()
total = 0

def application(environ, start_response):
    global total
    local.count = getattr(local, "count", 0) + 1
    length = len(environ["wsgi.input"].read())
    total += length
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    write(b"written, ")
    logger.info("request of %d bytes", length)
    def pieces():
        for n in range(20):
            yield b"%d " % n
    return pieces()
"""


@ours
@embedded_only("a process of a group has one interpreter")
@own_gils
def test_many_requests_at_once_in_several_interpreters_with_their_own_gils(new_site, home):
    groups = [f"own-{n}" for n in range(4)]
    aliases = "".join(f"WSGIScriptAlias /{g} {{root}}/busy.wsgi application-group={g}\n" for g in groups)
    site = new_site(ON + aliases, python_home=home)
    (site.root / "busy.wsgi").write_text(BUSY)
    site.start()
    site.log.expect("atexit of the interpreter", times=4)
    expected = b"written, " + b"".join(b"%d " % n for n in range(20))
    wrong = []

    def ask(group):
        with site.connect() as connection:
            for n in range(60):
                response = connection.request("POST", f"/{group}", [("Host", "localhost")], b"x" * (n * 100))
                if (response.status, response.body) != (200, expected):
                    wrong.append(response)

    threads = [threading.Thread(target=ask, args=[group]) for group in groups * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert site.script(HELLO, "main").get().body == b"hello"
    assert len(site.log.matching("request of 5900 bytes")) == 8
    site.begin_graceful_stop()
    site.wait()


@ours
@embedded_only("a process of a group has one interpreter")
@own_gils
def test_errors_reloads_and_file_wrappers_work_in_an_interpreter_with_its_own_gil(new_site, home):
    site = new_site(ON, python_home=home).start()
    app = site.script("def application(e, s):\n    raise ValueError('of the application')\n", "sub")
    site.log.expect_exception("ValueError: of the application")
    assert app.get().status == 500
    app.rewrite(HELLO)
    assert app.get().body == b"hello"
    file = site.root / "file.txt"
    file.write_text("from a file")
    wrapped = site.script(
        f"def application(e, s):\n    s('200 OK', [])\n    return e['wsgi.file_wrapper'](open({str(file)!r}, 'rb'))\n", "sub"
    )
    assert wrapped.get().body == b"from a file"


@ours
@embedded_only("a process of a group has one interpreter")
@own_gils
def test_a_thread_that_runs_on_in_such_an_interpreter_does_not_harm_the_end(new_site, home):
    site = new_site(ON, python_home=home).start()
    app = site.script(
        "import atexit, _thread\natexit.register(print, 'atexit ran')\n"
        "def spin():\n    while True: print(end='')\n"
        "def application(e, s):\n    _thread.start_new_thread(spin, ())\n    s('200 OK', [])\n    return [b'spins']\n",
        "sub",
    )
    site.log.expect("atexit ran")
    assert app.get().body == b"spins"
    site.begin_graceful_stop()
    site.wait()


@line("PY-205")
@embedded_only("a process of a group has one interpreter")
@own_gils
def test_an_extension_module_without_support_is_an_import_error(new_site, home):
    site = new_site(ON, python_home=home).start()
    # One that CPython has for this very test.
    site.log.expect_exception("ImportError: .*_testsinglephase", code="WSGI0109")
    assert site.script("import _testsinglephase\n" + HELLO, "sub").get().status == 500


# CPython 3.12 crashes here without help.
@ours
@embedded_only("a process of a group has one interpreter")
@own_gils
def test_a_failed_import_does_not_ruin_the_module_for_other_interpreters(new_site, home):
    groups = [f"own-{n}" for n in range(3)]
    aliases = "".join(f"WSGIScriptAlias /{g}/ {{root}}/ application-group={g}\n" for g in groups)
    site = new_site(ON + aliases, python_home=home)
    single = "import _testsinglephase\n" + HELLO
    usual = "import ctypes, datetime, decimal\n" + HELLO.replace("b'hello'", "str(datetime.date(2026, 1, 2)).encode()")
    tolerant = usual.replace("import ctypes, ", "try:\n    import ctypes\nexcept ImportError: pass\nimport ")
    (site.root / "single.wsgi").write_text(single)
    (site.root / "usual.wsgi").write_text(tolerant)
    site.start()
    site.log.expect_exception("ImportError: .*_testsinglephase", code="WSGI0109", times=3)
    site.log.allow("mpd_setminalloc|^$")
    child = site.child()
    assert [site.get(f"/{g}/single.wsgi").status for g in groups] == [500] * 3
    assert [site.get(f"/{g}/usual.wsgi").body for g in groups] == [b"2026-01-02"] * 3
    assert site.script(single, "main").get().body == b"hello"
    assert site.script(usual, "main").get().body == b"2026-01-02"
    assert site.child() == child


@line("INT-04")
@embedded_only("a group's Python does not matter for it")
@pytest.mark.parametrize("home", [None, *WITHOUT], ids=named)
def test_a_python_without_them_is_named_once_and_its_interpreters_share_the_gil(new_site, home):
    site = new_site(ON, **({} if home is None else {"python_home": home})).start()
    if sys.version_info >= SINCE and home is None:
        pytest.skip("the Python of the tests has them")
    site.log.expect("WSGI0198")
    assert site.script(HELLO, "sub").get().body == b"hello"


# -- configtest


@pytest.fixture(scope="module")
def bench():
    httpd = Httpd(python_home=None)
    yield httpd
    httpd.discard()


@pytest.fixture
def refuses(bench):
    def check(config, *texts):
        result = bench.configtest(config)
        assert result.returncode != 0, config
        for text in texts:
            assert text in " ".join(result.stderr.split()), result.stderr

    return check


@line("CFG-33")
@pytest.mark.parametrize(
    ("selectors", "message"),
    [
        ("foo=b", "unknown selector"),
        ("word", "is not of the form key=value"),
        ("process-group=a process-group=b", "given more than once"),
        ("application-group=a Application-Group=b", "given more than once"),
    ],
)
def test_a_section_with_wrong_selectors_is_refused(refuses, selectors, message):
    refuses(block(selectors), message)


@line("CFG-33")
def test_a_section_without_its_bracket_is_refused(refuses):
    refuses("<WSGIInterpreterOptions process-group=a\n</WSGIInterpreterOptions>\n", "missing closing '>'")


@line("CFG-33")
def test_a_section_is_refused_within_a_virtual_host_or_directory(refuses):
    refuses(f"<VirtualHost *:1>\n{block('')}</VirtualHost>\n", "cannot occur within <VirtualHost")
    refuses(f"<Directory /tmp>\n{block('')}</Directory>\n", "not allowed")


def test_sections_with_and_without_selectors_are_accepted(bench):
    lines = [
        "WSGIPythonPath /tmp", "WSGISwitchInterval 0.01", "WSGIPerInterpreterGIL Off", "WSGIFreeThreading Off", "WSGIRestrictStdin On",
        "WSGIRestrictStdout On", "WSGIRestrictSignal Off",
    ]  # fmt: skip
    config = "".join(block(selectors, *lines) for selectors in ("", "process-group=a", "PROCESS-GROUP=a application-group=%{GLOBAL}"))
    result = bench.configtest(config.replace("Options >", "Options>", 1))
    assert result.returncode == 0, result.stderr
    # mod_wsgi warns of WSGIFreeThreading in a section whatever its value.
    assert not IS_OURS or "WSGI0" not in result.stderr, result.stderr


@ours
def test_a_selector_may_be_quoted(bench):
    assert bench.configtest(block('application-group="a b > c"', "WSGIRestrictStdin On")).returncode == 0


@ours
def test_a_section_within_a_section_is_refused(refuses):
    refuses(block("", block("application-group=a").rstrip()), "cannot stand in another one")


def test_an_error_within_a_section_names_its_own_line(refuses, bench):
    refuses(block("", "WSGIRestrictStdin maybe"), "WSGIRestrictStdin must be one of: Off | On")
    number = bench.config_file.read_text().splitlines().index("WSGIRestrictStdin maybe") + 1
    assert f"Syntax error on line {number} of" in bench.configtest().stderr


@ours
@pytest.mark.parametrize(
    ("config", "code"),
    [
        ("WSGIFreeThreading On\n", "WSGI0200"),
        (block("process-group=a", "WSGIFreeThreading On"), "WSGI0200"),
        (block("application-group=a", "WSGIFreeThreading On"), "WSGI0201"),
        (block("application-group=%{GLOBAL}", "WSGIPerInterpreterGIL On"), "WSGI0198"),
    ],
)
def test_what_has_no_effect_is_named_at_configtest(bench, config, code):
    result = bench.configtest(config)
    assert result.returncode == 0
    (remark,) = [row for row in result.stderr.splitlines() if "WSGI0" in row]
    assert f"{code}: WSGI" in remark and "no effect" in remark


def test_free_threading_changes_nothing(new_site):
    site = new_site("WSGIFreeThreading On\n").start()
    site.log.expect("WSGI0200")
    assert site.script(HELLO, "sub").get().body == b"hello"
