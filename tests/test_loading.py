"""How a script is found, compiled, run once, kept and reloaded, and what happens when that fails."""

import hashlib
import os
import re
import threading

import pytest

from harness import installation
from harness.checklist import both_interpreters, embedded_only, line, ours, ours_in_daemon, smoke
from harness.condition import wait_until

pytestmark = both_interpreters

CONFIG = """
<LocationMatch "/not-reloading">
  WSGIScriptReloading Off
</LocationMatch>
<LocationMatch "/named">
  WSGICallableObject another
</LocationMatch>
WSGIScriptAlias /option/ {scripts}/ application-group=%{GLOBAL} callable-object=another
"""

LOAD_FAILED = "WSGI01(05|07|09)"
NOT_TRIED_AGAIN = "WSGI0304"


def expect_load_failure(log, last_line):
    """The line that says which script could not be loaded, and the traceback."""
    log.expect(LOAD_FAILED)
    log.expect_traceback(last_line)
    log.allow("WSGI0174")


def answering(text):
    return f"def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b{text!r}]\n"


@line("PY-157")
def test_the_modules_name_is_made_from_the_md5_of_its_path(serve):
    def application(environ, start_response):
        import json
        import sys

        facts = [__name__, __name__ in sys.modules, sys.modules["__main__"].__name__ == __name__]
        start_response("200 OK", [])
        return [json.dumps(facts).encode()]

    app = serve(application)
    assert app.json() == ["_mod_wsgi_" + hashlib.md5(str(app.path).encode()).hexdigest(), True, False]


@line("PY-158")
def test_file_and_mtime_are_set_and_no_bytecode_is_written(serve):
    def application(environ, start_response):
        import json

        start_response("200 OK", [])
        return [json.dumps([__file__, __mtime__]).encode()]

    app = serve(application)
    assert app.json() == [str(app.path), app.path.stat().st_mtime_ns // 1000]
    assert not list(app.path.parent.rglob("*.pyc"))


def test_the_directory_of_the_script_is_not_on_sys_path(serve, site):
    def application(environ, start_response):
        import sys

        start_response("200 OK", [])
        return ["\n".join(sys.path).encode()]

    path = serve(application).get().text.split("\n")
    assert str(site.scripts) not in path and "" not in path


@line("PY-159")
@pytest.mark.parametrize("coding", ["latin-1", "utf-8", "cp1251"])
def test_the_coding_declaration_is_honoured(script, coding):
    source = "# -*- coding: %s -*-\nTEXT = 'я'\n" if coding == "cp1251" else "# -*- coding: %s -*-\nTEXT = 'é'\n"
    source = source % coding + "def application(e, s):\n    s('200 OK', [])\n    return [ascii(TEXT).encode()]\n"
    assert script(source.encode(coding)).get().text == ascii("я" if coding == "cp1251" else "é")


@line("PY-168")
def test_scripts_of_the_same_name_in_different_directories_are_distinct(script):
    first, second = script(answering("first"), name="a/same.wsgi"), script(answering("second"), name="b/same.wsgi")
    assert [app.get().body for app in (first, second, first)] == [b"first", b"second", b"first"]


@line("PY-169")
def test_concurrent_first_requests_load_the_script_once(script, log):
    app = script("import time\nprint('loaded now')\ntime.sleep(0.3)\n" + answering("x"))
    log.expect("loaded now")
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(app.get().body)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [b"x"] * 8
    assert len(log.matching("loaded now")) == 1


@ours
@line("PY-170", "IMP-15")
def test_a_slow_import_of_one_script_does_not_delay_a_loaded_one(script, site, log):
    loaded = script(answering("at once"))
    loaded.get()
    gate = site.root / f"gate-{loaded.path.name}"
    slow = script(
        f"import os, time\nprint('loading slowly')\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)\n"
        + answering("late")
    )
    log.expect("loading slowly")
    with site.connect() as connection:
        connection.send_head("GET", slow.url)
        log.wait_for("loading slowly")
        assert loaded.get().body == b"at once"
        assert script(answering("another first load")).get().body == b"another first load"
        gate.touch()
        assert connection.response().body == b"late"


# -- failures


@line("PY-160")
def test_a_syntax_error_gets_500_with_file_and_line_in_the_log_and_a_fixed_file_works(script, log):
    app = script("x = 1\ndef application(:\n")
    log.expect(f'File "{app.path}", line 2')
    expect_load_failure(log, "SyntaxError: ")
    assert app.get().status == 500
    app.rewrite(answering("fixed"))
    assert app.get().body == b"fixed"


@ours
@smoke
@line("PY-161")
@pytest.mark.parametrize(
    ("statement", "error"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "ZeroDivisionError: "),
    ],
)
def test_an_exception_while_loading_gets_500_with_the_scripts_frame_in_the_log(script, log, statement, error):
    app = script(f"x = 1\n{statement}\n")
    log.expect(f'File "{app.path}", line 2, in <module>')
    expect_load_failure(log, error)
    assert app.get().status == 500
    assert log.wait_for(LOAD_FAILED).client is not None
    assert len(log.matching("Traceback")) == 1


def test_an_exception_while_loading_gets_500_and_a_fixed_file_works_without_restart(script, log):
    app = script("raise ValueError('while loading')\n")
    expect_load_failure(log, "ValueError: while loading")
    assert app.get().status == 500
    app.rewrite(answering("fixed"))
    assert app.get().body == b"fixed"


@line("PY-163")
@pytest.mark.parametrize("statement", ["sys.exit()", "sys.exit('reason')", "raise SystemExit(3)"])
def test_sys_exit_while_loading_gets_500_and_the_process_lives(script, log, statement, serving):
    log.expect(LOAD_FAILED)
    log.allow(r"Traceback|^(\[script [^\]]*\] )?(  |SystemExit)|SystemExit")
    process = serving()
    app = script(f"import sys\n{statement}\n")
    assert app.get().status == 500
    assert serving() == process
    app.rewrite(answering("fixed"))
    assert app.get().body == b"fixed"


def test_a_failed_load_leaves_no_half_built_module(script, log):
    expect_load_failure(log, "ValueError: half built")
    app = script("raise ValueError('half built')\n")
    assert app.get().status == 500
    name = "_mod_wsgi_" + hashlib.md5(str(app.path).encode()).hexdigest()
    looker = script(
        f"import sys\ndef application(e, s):\n    s('200 OK', [])\n    return [str({name!r} in sys.modules).encode()]\n"
    )
    assert looker.get().body == b"False"


@ours
def test_a_failed_load_is_not_repeated_by_each_request_and_the_log_says_when_it_will_be(script, log):
    app = script("print('tried to load')\nraise ValueError('broken')\n")
    log.expect("tried to load")
    expect_load_failure(log, "ValueError: broken")
    log.expect(NOT_TRIED_AGAIN)
    assert [app.get().status for _ in range(10)] == [500] * 10
    assert len(log.matching("tried to load")) <= 2
    app.rewrite(answering("fixed"))
    assert app.get().body == b"fixed"


@ours
def test_a_load_that_failed_for_an_outside_reason_is_tried_again_after_a_second(script, site, log, interpreter):
    cause = site.root / f"cause-{interpreter}"
    app = script(f"import os\nassert os.path.exists({str(cause)!r})\n" + answering("recovered"))
    expect_load_failure(log, "AssertionError")
    log.allow(NOT_TRIED_AGAIN)
    assert app.get().status == 500
    cause.touch()
    assert wait_until(lambda: app.get().status == 200, "the script to be tried again", interval=0.2)


@ours_in_daemon
@line("PY-162", "MAP-22", "IMP-37")
def test_a_missing_callable_gets_404_embedded(script, log):
    log.expect("WSGI0089.*does not contain WSGI application 'application'")
    assert script("x = 1\n").get().status == 404


@pytest.mark.parametrize("value", ["5", "'text'", "None"])
def test_an_application_that_is_not_callable_gets_500(script, log, value):
    log.expect_exception("TypeError: '(int|str|NoneType)' object is not callable")
    assert script(f"application = {value}\n").get().status == 500


@line("MAP-08")
def test_a_missing_script_gets_404(site, log):
    log.expect("WSGI0135.*Target WSGI script not found")
    assert site.get("/main/missing.wsgi").status == 404


def test_a_script_that_vanishes_after_it_was_loaded_gets_404(script, log):
    app = script(answering("here"))
    assert app.get().body == b"here"
    app.path.unlink()
    log.expect("WSGI0135")
    assert app.get().status == 404


@line("MAP-05")
@pytest.mark.parametrize("target", ["/main/", "/main/directory.wsgi/"])
def test_a_directory_gets_403(site, log, target):
    (site.scripts / "directory.wsgi").mkdir(exist_ok=True, mode=0o755)
    log.expect("WSGI0136.*Attempt to invoke directory")
    assert site.get(target).status == 403


def test_an_unreadable_script_gets_500(script, log):
    app = script(answering("never"))
    app.path.chmod(0)
    expect_load_failure(log, "PermissionError: ")
    assert app.get().status == 500


@ours_in_daemon
def test_an_empty_script_has_no_callable(script, log):
    log.expect("WSGI0089")
    assert script("").get().status == 404


@ours
def test_a_nul_in_a_script_is_a_syntax_error(script, log):
    expect_load_failure(log, "SyntaxError: .*(null|NUL) byte")
    assert script(answering("cut").encode() + b"\0 nothing\n").get().status == 500


# What is wrong: the script, then status, code, cause in the coded line, and the frame and last line of the traceback. What
# fails before a line of the script has run has no frame in it.
BAD_SCRIPTS = {
    "missing": (None, 404, "WSGI0135", "Target WSGI script not found", []),
    "a directory": ("directory", 403, "WSGI0136", "Attempt to invoke directory", []),
    "unreadable": ("unreadable", 500, "WSGI0105", "PermissionError: .*denied", ["PermissionError: "]),
    "syntax error": ("x = 1\ndef application(:\n", 500, "WSGI0105", "SyntaxError: invalid syntax", ["line 2", "SyntaxError: "]),
    "no text": (b"x = '\xff'\n", 500, "WSGI0105", "SyntaxError: .*((?i:utf-8)|codec)", ["SyntaxError: "]),
    "no callable": ("x = 1\n", 404, "WSGI0089", "does not contain WSGI application 'application'", []),
    "raises": ("x = 1\nint('a')\n", 500, "WSGI0109", "ValueError: invalid", ["line 2, in <module>", "ValueError: invalid"]),
    "no module": ("import nothing_such\n", 500, "WSGI0109", "No module", ["line 1, in <module>", "ModuleNotFoundError: "]),
    "exits": ("import sys\nsys.exit('why')\n", 500, "WSGI0107", "SystemExit: why", ["line 2, in <module>", "SystemExit: why"]),
}  # fmt: skip


@ours
@pytest.mark.parametrize("what", BAD_SCRIPTS)
def test_a_bad_script_gets_one_coded_line_with_file_and_cause_and_a_traceback_if_there_is_one(
    site, script, log, interpreter, what
):
    content, status, code, cause, traceback = BAD_SCRIPTS[what]
    app = make_bad(site, script, f"bad-{interpreter}-{what.replace(' ', '-')}.wsgi", content)
    log.expect(code)
    for frame in traceback[:-1]:
        log.expect(f", {frame}")
    for last in traceback[-1:]:
        log.expect_traceback(last)
    # With the slash the directory is not redirected to.
    response = app.get("/")
    log.verify()
    assert response.status == status
    (headline,) = log.matching(r"WSGI0\d{3}")
    assert str(app.path) in headline.message and re.search(f"{code}: .*{cause}", headline.message), headline.message
    assert headline.client is not None
    assert len(log.matching("Traceback")) == any("in <module>" in part for part in traceback)
    assert b"Traceback" not in response.body and str(site.root).encode() not in response.body


def make_bad(site, script, name, content):
    app = script(answering("never") if content in (None, "directory", "unreadable") else content, name=name)
    if content in (None, "directory"):
        app.path.unlink()
    if content == "directory":
        app.path.mkdir(mode=0o755)
    if content == "unreadable":
        app.path.chmod(0o600 if installation.run_as() else 0)  # 0600 is what root leaves behind, others may not read it
    return app


# -- reloading


@embedded_only("a group starts new processes: test_daemon_httpd.py")
@line("PY-164", "LIF-10")
def test_touching_a_script_reloads_it_alone_in_the_same_process(script, log, door, serving):
    app = script("import collections\nNUMBER = getattr(collections, 'loads', 0)\ncollections.loads = NUMBER + 1\n"
                 "def application(e, s):\n    s('200 OK', [])\n    return [str(NUMBER).encode()]\n")  # fmt: skip
    process = serving()
    first = int(app.get().body)
    assert int(app.get().body) == first
    app.touch()
    assert int(app.get().body) == first + 1
    assert serving() == process


@smoke
@line("PY-164", "LIF-10")
def test_new_code_is_served_by_the_next_request(script):
    app = script(answering("old"))
    assert app.get().body == b"old"
    app.rewrite(answering("new"))
    assert [app.get().body for _ in range(5)] == [b"new"] * 5


@line("LIF-08")
def test_an_older_modification_time_reloads_as_well(script):
    app = script(answering("old"))
    assert app.get().body == b"old"
    app.path.write_text(answering("older"))
    os.utime(app.path, (1_000_000_000, 1_000_000_000))
    assert app.get().body == b"older"


@ours_in_daemon
def test_a_running_request_keeps_the_old_module(script, site):
    app = script(
        "NAME = 'old'\n"
        "def application(environ, start_response):\n"
        "    start_response('200 OK', [])(b'began ')\n"
        "    environ['wsgi.input'].read(1)\n"
        "    return [NAME.encode()]\n"
    )
    with site.connect() as connection:
        connection.send_head("POST", app.url, [("Content-Length", "1")])
        connection.head()
        assert connection.chunk() == b"began "
        app.rewrite(answering("new"))
        assert app.get().body == b"new"
        connection.send(b"x")
        assert connection.chunk() == b"old"


@embedded_only("a group starts new processes: test_daemon_httpd.py")
@line("PY-166", "LIF-09")
def test_reload_required_that_is_true_reloads_and_is_given_the_path(script, site):
    flag = site.root / "reload-required"
    app = script(
        f"import itertools, json, os, sys\n"
        f"NUMBER = getattr(sys, 'loads_of_this', 0)\nsys.loads_of_this = NUMBER + 1\nseen = []\n"
        f"def reload_required(path):\n    seen.append(path)\n    return os.path.exists({str(flag)!r})\n"
        f"def application(e, s):\n    s('200 OK', [])\n    return [json.dumps([NUMBER, seen]).encode()]\n"
    )
    first, _ = app.json()
    assert app.json() == [first, [str(app.path)]]
    flag.touch()
    try:
        assert app.json()[0] == first + 1
    finally:
        flag.unlink()
    assert app.json()[0] == first + 1


@line("PY-166", "LIF-09")
def test_reload_required_that_raises_is_logged_and_means_no(script, log):
    app = script("def reload_required(path):\n    raise ValueError('cannot tell')\n" + answering("still served"))
    assert app.get().body == b"still served"
    log.expect_traceback("ValueError: cannot tell")
    log.expect("WSGI0174")
    assert app.get().body == b"still served"


@line("PY-167", "LIF-07")
def test_script_reloading_off_ignores_a_touch(script):
    app = script(answering("old"))
    assert app.get("/not-reloading").body == b"old"
    app.rewrite(answering("new"))
    assert app.get("/not-reloading").body == b"old"
    assert app.get().body == b"new"


@ours
@embedded_only("a group starts new processes, which have no old version: test_daemon_httpd.py")
def test_a_new_version_that_does_not_load_leaves_the_old_one_serving_and_the_log_says_why(script, log):
    app = script(answering("good"))
    assert app.get().body == b"good"
    app.rewrite("raise ValueError('bad version')\n")
    expect_load_failure(log, "ValueError: bad version")
    assert [app.get().body for _ in range(3)] == [b"good"] * 3
    app.rewrite(answering("good again"))
    assert app.get().body == b"good again"


# -- the callable

NAMED = """
def answer(text):
    def application(environ, start_response):
        start_response("200 OK", [])
        return [text]
    return application

application, another = answer(b"application"), answer(b"another")
"""


@line("PY-174", "MAP-22")
def test_wsgi_callable_object_names_the_callable(script):
    app = script(NAMED)
    assert (app.get().body, app.get("/named").body) == (b"application", b"another")


@line("PY-174", "MAP-22")
def test_the_alias_option_callable_object_names_the_callable(script, site):
    assert site.get("/option/" + script(NAMED).path.name).body == b"another"


def test_the_callable_is_looked_up_by_each_request(script):
    app = script(
        "def other(e, s):\n    s('200 OK', [])\n    return [b'other']\n"
        "def application(e, s):\n    global application\n    application = other\n"
        "    s('200 OK', [])\n    return [b'first']\n"
    )
    assert [app.get().body for _ in range(3)] == [b"first", b"other", b"other"]


def test_a_module_is_shared_by_all_requests_of_its_interpreter(script):
    app = script(
        "n = 0\ndef application(e, s):\n    global n\n    n += 1\n    s('200 OK', [])\n    return [str(n).encode()]\n"
    )
    assert [app.get().body for _ in range(4)] == [b"1", b"2", b"3", b"4"]


@ours
def test_a_script_of_the_main_and_of_a_sub_interpreter_is_loaded_in_each(site, script):
    """One file through two mounts: two modules that know nothing of each other."""
    app = script(
        "n = 0\ndef application(e, s):\n    global n\n    n += 1\n    s('200 OK', [])\n    return [str(n).encode()]\n"
    )
    main, sub = (f"/{mount}/{app.path.name}" for mount in ("main", "sub"))
    assert [site.get(url).text for url in (main, main, sub, main, sub)] == ["1", "2", "1", "3", "2"]
