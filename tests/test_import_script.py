"""WSGIImportScript and preloaded aliases: loaded when a child starts, before its first request."""

import pytest

from harness import installation
from harness.checklist import embedded_only, line
from harness.condition import wait_until

pytestmark = embedded_only("test_daemon_groups.py has import scripts of groups")

SHOW = """
import json, sys, threading

def application(environ, start_response):
    start_response("200 OK", [])
    return [json.dumps(getattr(sys, "imported", [])).encode()]
"""

NOTE = """
import sys, threading
if not hasattr(sys, "imported"):
    sys.imported = []
sys.imported.append({name!r})
print("imported", {name!r}, "on the main thread:", threading.current_thread() is threading.main_thread())
"""


@pytest.fixture
def with_imports(new_site):
    """An httpd whose configuration imports scripts; `scripts` are their texts by name."""

    def make(config, scripts, **settings):
        site = new_site(config, **settings)
        for name, text in scripts.items():
            site.script(text, name=name)
        return site.start()

    return make


def import_line(name, group="%{GLOBAL}"):
    return f"WSGIImportScript {{scripts}}/{name} process-group=%{{GLOBAL}} application-group={group}\n"


@line("PY-171", "MAP-26")
def test_import_scripts_run_in_the_order_of_the_file_before_the_first_request(with_imports):
    site = with_imports(
        import_line("b.wsgi") + import_line("a.wsgi"), {name: NOTE.format(name=name) for name in ("a.wsgi", "b.wsgi")}
    )
    site.log.expect("imported b.wsgi")
    site.log.expect("imported a.wsgi")
    site.log.wait_for("imported a.wsgi")
    assert not site.accesses()
    assert site.script(SHOW).json() == ["b.wsgi", "a.wsgi"]


@line("PY-171")
def test_an_import_script_runs_in_the_interpreter_it_names(with_imports):
    site = with_imports(import_line("a.wsgi", "sub"), {"a.wsgi": NOTE.format(name="a.wsgi")})
    site.log.expect("imported a.wsgi")
    site.log.wait_for("imported a.wsgi")
    assert site.script(SHOW, "sub").json() == ["a.wsgi"]
    assert site.script(SHOW, "main").json() == []


@line("MAP-27")
@pytest.mark.parametrize(
    ("text", "code", "last"),
    [
        ("1 / 0\n", "WSGI0110", "ZeroDivisionError"),
        ("def broken(:\n", "WSGI0106", "SyntaxError"),
        ("import sys; sys.exit()\n", "WSGI0108", "SystemExit"),
    ],
)
def test_an_import_script_that_fails_is_logged_and_the_others_are_served(with_imports, text, code, last):
    site = with_imports(
        import_line("bad.wsgi") + import_line("good.wsgi"),
        {"bad.wsgi": text, "good.wsgi": NOTE.format(name="good.wsgi")},
    )
    site.log.expect(code)
    site.log.expect("imported good.wsgi")
    if installation.IS_OURS:
        site.log.expect_traceback(last)
    else:
        site.log.allow("")  # mod_wsgi has a second headline, and no traceback of SystemExit.
    assert site.script(SHOW).json() == ["good.wsgi"]


def test_a_missing_import_script_is_logged_and_the_server_serves(with_imports):
    site = with_imports(import_line("missing.wsgi") + import_line("good.wsgi"), {"good.wsgi": NOTE.format(name="good")})
    site.log.expect("WSGI0.*missing.wsgi")
    if not installation.IS_OURS:
        site.log.expect_traceback("FileNotFoundError: .*missing.wsgi")
    site.log.expect("imported good")
    assert site.script(SHOW).json() == ["good"]


@line("MAP-24", "PY-172")
def test_an_alias_with_both_groups_is_loaded_when_a_child_starts(with_imports):
    config = "WSGIScriptAlias /pre {scripts}/pre.wsgi process-group=%{GLOBAL} application-group=%{GLOBAL}\n"
    site = with_imports(config, {"pre.wsgi": NOTE.format(name="pre") + SHOW})
    site.log.expect("imported pre")
    site.log.wait_for("imported pre")
    assert site.json("/pre") == ["pre"]
    assert len(site.log.matching("imported pre")) == 1


@line("MAP-24", "LIF-21")
def test_a_preload_runs_in_every_child(with_imports):
    config = "WSGIScriptAlias /pre {scripts}/pre.wsgi process-group=%{GLOBAL} application-group=%{GLOBAL}\n"
    site = with_imports(config, {"pre.wsgi": NOTE.format(name="pre") + SHOW}, mpm="prefork")
    site.log.expect("imported pre")
    site.log.allow("imported pre")
    wait_until(
        lambda: {record.pid for record in site.log.matching("imported pre")} >= set(site.children()[:2]),
        "the preload in both children",
    )


@line("MAP-25")
@pytest.mark.parametrize(
    "config",
    [
        "WSGIScriptAlias /pre {scripts}/pre.wsgi process-group=%{GLOBAL} application-group=%{ENV:X}\nSetEnv X sub\n",
        "WSGIScriptAliasMatch ^/(pre) {scripts}/$1.wsgi process-group=%{GLOBAL} application-group=sub\n",
        "WSGIScriptAlias /pre {scripts}/pre.wsgi application-group=sub\n",
        "WSGIScriptAlias /pre {scripts}/pre.wsgi process-group=%{GLOBAL}\n",
    ],
)
def test_an_alias_that_is_not_settled_at_start_is_not_preloaded(with_imports, config):
    """The import script after it shows when preloading is over."""
    site = with_imports(
        config + import_line("last.wsgi", "sub"),
        {"pre.wsgi": NOTE.format(name="pre") + SHOW, "last.wsgi": NOTE.format(name="last")},
    )
    site.log.expect("imported last")
    site.log.expect("imported pre")
    site.log.wait_for("imported last")
    assert not site.log.matching("imported pre")
    assert "pre" in site.json("/pre")


def test_the_same_script_imported_twice_is_loaded_once(with_imports):
    site = with_imports(import_line("a.wsgi") * 2, {"a.wsgi": NOTE.format(name="a")})
    site.log.expect("imported a")
    assert site.script(SHOW).json() == ["a"]


def test_an_imported_script_that_is_also_an_application_is_not_loaded_again(with_imports):
    site = with_imports(import_line("a.wsgi"), {"a.wsgi": NOTE.format(name="a") + SHOW})
    site.log.expect("imported a")
    site.log.wait_for("imported a")
    assert site.json("/main/a.wsgi") == ["a"]
    assert len(site.log.matching("imported a")) == 1


@line("EXP-13")
def test_an_import_script_is_run_where_embedded_requests_are_refused(with_imports):
    site = with_imports("WSGIRestrictEmbedded On\n" + import_line("a.wsgi"), {"a.wsgi": NOTE.format(name="a")})
    site.log.expect("imported a")
    site.log.wait_for("imported a")
    site.log.expect("WSGI0143")
    assert site.script(SHOW).get().status == 500
