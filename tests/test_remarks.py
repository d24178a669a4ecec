"""What is accepted and can hardly be meant: said once, by the parent and at configtest, with what to write instead."""

import re

import pytest

from harness.checklist import line, ours
from harness.condition import wait_until
from harness.httpd import Httpd

BOTH_GROUPS = "process-group=%{GLOBAL} application-group=%{GLOBAL}"

# What is wrong: a line, the code, and what has to be in the log's line. `{root}` has a directory `there` and a file `app.wsgi`.
ODD_LINES = {
    "no leading slash": ("WSGIScriptAlias app {root}/app.wsgi", "WSGI0321", "'app' does not begin with a slash.*write /app"),
    "a relative target": ("WSGIScriptAlias /app app.wsgi", "WSGI0321", "'app.wsgi' is no absolute path.*write the whole path"),
    "an open quote": ('WSGIScriptAlias /app "{root}/app.wsgi', "WSGI0320", "a quote is not closed.*close it"),
    "an open quote of httpd's": ('WSGIPythonPath "{root}/there', "WSGI0320", "a quote is not closed.*close it"),
    "joined names": ("WSGIScriptAlias /a/ {root}/app.wsgi", "WSGI0322", "joined.*WSGIScriptAlias /a {root}/app.wsgi for a script"),
    "a missing path": ("WSGIPythonPath {root}/there:{root}/gone", "WSGI0323", "{root}/gone, which is not there"),
    "a missing import": (
        f"WSGIImportScript {{root}}/gone.wsgi {BOTH_GROUPS}", "WSGI0324", "{root}/gone.wsgi cannot be loaded.*is not there: correct"),
    "a missing preload": (
        f"WSGIScriptAlias /gone {{root}}/gone.wsgi {BOTH_GROUPS}", "WSGI0324", "{root}/gone.wsgi cannot be loaded.*is not there"),
    "no such level": ("WSGIPythonOptimize 7", "WSGI0433", "there is no level 7, so 2 is taken; write 0, 1 or 2"),
    "a filter that Python ignores": ("WSGIPythonWarnings bogus", "WSGI0434", "ignores the filter 'bogus', since its action is none of"),
    "a group's name that is no macro": ("WSGIApplicationGroup %{FOO}", "WSGI0435", "'%{FOO}' is no macro, so it is a name.*%{RESOURCE}"),
    "a process group's name that is no macro": (
        "WSGIScriptAlias /foo {root}/app.wsgi process-group=%{FOO}", "WSGI0435", "'%{FOO}' is no macro, so it is a name"),
    "a callable's name that is no macro": ("WSGICallableObject %{SERVER}", "WSGI0435", "'%{SERVER}' is no macro for a callable"),
    "a handler with the module's own name": (
        "WSGIHandlerScript wsgi-script {root}/app.wsgi", "WSGI0437", "handler 'wsgi-script', which comes first.*write another name"),
    "a handler with the module's own type": (
        "WSGIHandlerScript Application/X-Httpd-WSGI {root}/app.wsgi", "WSGI0437", "handler 'application/x-httpd-wsgi', which comes"),
    "a directory to load": (
        f"WSGIScriptAlias /there {{root}}/there/ {BOTH_GROUPS}", "WSGI0324", "{root}/there cannot be loaded.*is a directory: leave"),
}  # fmt: skip

USUAL_LINES = f"""
WSGIScriptAlias /a "{{root}}/app.wsgi" {BOTH_GROUPS}
WSGIScriptAlias /b/ {{root}}/there/
WSGIScriptAlias /c/ {{root}}/gone.wsgi
WSGIScriptAliasMatch ^(/d/.*)$ {{root}}/there$1
WSGIPythonPath {{root}}/there:{{root}}/app.wsgi
WSGIScriptAlias / {{root}}/app.wsgi
WSGIHandlerScript wsgi-scripts {{root}}/app.wsgi
"""


def with_files(httpd):
    (httpd.root / "there").mkdir()
    (httpd.root / "app.wsgi").write_text("def application(e, s):\n    s('200 OK', [])\n    return [b'hello']\n")
    return httpd


@pytest.fixture
def bench():
    httpd = with_files(Httpd())
    yield httpd
    httpd.discard()


@line("CFG-37")
@pytest.mark.parametrize("what", ODD_LINES)
def test_an_odd_line_passes_the_configtest(bench, what):
    result = bench.configtest(ODD_LINES[what][0])
    assert result.returncode == 0 and "Syntax OK" in result.stderr, result.stderr


@ours
@pytest.mark.parametrize("what", ODD_LINES)
def test_the_configtest_names_an_odd_line_and_what_to_write(bench, what):
    text, code, pattern = ODD_LINES[what]
    result = bench.configtest(text)
    (remark,) = [row for row in result.stderr.splitlines() if "WSGI0" in row]
    assert re.search(f"{code}: .*{pattern.replace('{root}', str(bench.root))}", remark), remark
    if code != "WSGI0323":
        number = bench.config_file.read_text().splitlines().index(text.replace("{root}", str(bench.root))) + 1
        assert f"{text.split()[0]} ({bench.config_file}, line {number}): " in remark


@ours
def test_the_configtest_says_nothing_of_usual_lines(bench):
    result = bench.configtest(USUAL_LINES)
    assert "Syntax OK" in result.stderr and "WSGI0" not in result.stderr, result.stderr


@ours
@pytest.mark.parametrize("what", ODD_LINES)
def test_the_parent_says_it_once_and_the_children_do_not(new_site, what):
    text, code, _ = ODD_LINES[what]
    site = with_files(new_site(text, mpm="prefork")).start()
    site.log.expect(code)
    # Python's own word about a filter.
    site.log.allow("Invalid -W option")
    app = site.script("def application(e, s):\n    s('200 OK', [])\n    return [b'hello']\n")
    wait_until(lambda: len(site.children()) > 1, "several children")
    assert app.get().body == b"hello"
    (said,) = site.log.matching("WSGI0")
    assert said.pid == site.pid()


@ours
def test_a_script_that_came_after_the_start_is_loaded_by_later_children(new_site):
    site = new_site(f"WSGIImportScript {{root}}/late.wsgi {BOTH_GROUPS}\nMaxConnectionsPerChild 1\n", mpm="prefork").start()
    site.log.expect("WSGI0324")
    site.log.expect("late but loaded")
    site.log.allow("late but loaded")
    (site.root / "late.wsgi").write_text("print('late but loaded')\n")
    site.get("/")
    site.log.wait_for("late but loaded")


@ours
@line("MAP-07")
def test_the_404_of_joined_names_says_so_and_that_of_a_missing_target_does_not(new_site):
    site = with_files(new_site("WSGIScriptAlias /a/ {root}/app.wsgi\nWSGIScriptAlias /c/ {root}/gone.wsgi\n")).start()
    site.log.expect("WSGI0322")
    site.log.expect("WSGI0135", times=2)
    assert site.get("/a/page").status == 404
    (said,) = site.log.matching("WSGI0135")
    assert "app.wsgipage (the URL path '/a/' ends in a slash and the target" in said.message
    assert f"write WSGIScriptAlias /a {site.root}/app.wsgi for a script" in said.message
    assert site.get("/c/").status == 404
    assert "gone.wsgi; answering 404" in site.log.matching("WSGI0135")[-1].message


@ours
def test_the_configtest_names_a_python_home_without_an_interpreter(bench, tmp_path):
    for home in ("/nowhere/at/all", tmp_path):
        result = bench.configtest(f"WSGIPythonHome {home}\n")
        assert result.returncode == 0
        (remark,) = [row for row in result.stderr.splitlines() if "WSGI0" in row]
        assert f"WSGI0036: Python interpreter configuration failed: WSGIPythonHome {home} has no bin/python" in remark
    result = bench.configtest(f"WSGIPythonHome {tmp_path}\nWSGIRestrictEmbedded On\n")
    assert "WSGI0" not in result.stderr


@ours
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('WSGICallableObject ""', "WSGICallableObject takes one argument, name of the application object in a script; an empty one was given"),
        ('WSGIProcessGroup ""', "WSGIProcessGroup takes one argument, name of the process group to run in; an empty one was given"),
        ('WSGIScriptAlias /x ""', "requires at least two arguments, and the file or directory that answers is an empty one"),
        ('WSGIScriptAlias "" /x', "requires at least two arguments, and what to match is an empty one"),
        ('WSGIScriptAliasMatch ^/x ""', "WSGIScriptAliasMatch requires at least two arguments, and the file or directory"),
    ],
)
def test_an_empty_value_is_refused_and_the_message_says_that_it_is_empty(bench, text, message):
    result = bench.configtest(text)
    assert result.returncode != 0
    assert message in " ".join(result.stderr.split()), result.stderr
