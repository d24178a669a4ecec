"""WSGIHandlerScript: a script that answers for resources of a kind."""

import json
import os

import pytest

from harness import installation
from harness.checklist import embedded_only, line, ours, ours_in_daemon
from harness.condition import wait_until
from harness.httpd import Httpd

HANDLER = """
import json

def handle_request(environ, start_response):
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps({key: value for key, value in environ.items() if isinstance(value, str)}).encode()]

def application(environ, start_response):
    raise AssertionError("not the handler's function")
"""

CONFIG = """
WSGIHandlerScript report {root}/report.py application-group=%{GLOBAL}
WSGIHandlerScript authorized {root}/report.py application-group=%{GLOBAL} pass-authorization=On
WSGIHandlerScript default {root}/report.py
WSGIHandlerScript grouped {root}/report.py
WSGIHandlerScript missing {root}/missing.py application-group=%{GLOBAL}
WSGIHandlerScript stale {root}/stale.py application-group=%{GLOBAL}
WSGIHandlerScript bare {root}/bare.py application-group=%{GLOBAL}
WSGIHandlerScript shadowed {root}/missing.py application-group=%{GLOBAL}
WSGIHandlerScript Mixed-Case {root}/report.py application-group=%{GLOBAL}
AddHandler report .report
AddType application/x-made-up .typed
WSGIHandlerScript application/x-made-up {root}/report.py application-group=%{GLOBAL}
<Location /set>
  SetHandler report
</Location>
<Location /plain.report>
  AcceptPathInfo Off
</Location>
<Location /authorized>
  SetHandler authorized
</Location>
<Location /default>
  SetHandler default
</Location>
<Location /grouped>
  SetHandler grouped
  WSGIApplicationGroup named
</Location>
<Location /missing>
  SetHandler missing
</Location>
<Location /stale>
  SetHandler stale
</Location>
<Location /bare>
  SetHandler bare
</Location>
<Location /mixed>
  SetHandler Mixed-Case
</Location>
<Location /shadowed>
  SetHandler shadowed
  WSGIHandlerScript shadowed {root}/report.py application-group=%{GLOBAL}
</Location>
"""


@pytest.fixture(autouse=True)
def scripts(site):
    (site.root / "report.py").write_text(HANDLER)
    (site.root / "bare.py").write_text("def application(environ, start_response): pass\n")
    page = site.root / "htdocs" / "page.report"
    page.write_text("the page")
    page.with_suffix(".typed").write_text("the page")
    return page


@pytest.fixture
def ask(site):
    return lambda path, headers=(): site.json(path, headers)


@line("MAP-19", "PY-173")
def test_a_handler_script_answers_for_files_with_its_extension(ask, site, scripts):
    values = ask("/page.report/more?q=1")
    assert values["SCRIPT_FILENAME"] == str(scripts)
    assert (values["SCRIPT_NAME"], values["PATH_INFO"], values["QUERY_STRING"]) == ("/page.report", "/more", "q=1")
    assert values["mod_wsgi.handler_script"] == str(site.root / "report.py")
    assert values["mod_wsgi.callable_object"] == "handle_request"
    assert values["mod_wsgi.request_handler"] == "report"
    assert values["mod_wsgi.application_group"] == ""


@line("MAP-19")
def test_neither_the_resource_nor_a_directory_of_it_need_be_there(ask, site):
    values = ask("/set/nothing/here")
    assert values["SCRIPT_FILENAME"].startswith(str(site.root / "htdocs" / "set"))
    assert not os.path.exists(values["SCRIPT_FILENAME"])


def test_a_content_type_selects_a_handler_too(ask, site):
    assert ask("/page.typed")["mod_wsgi.request_handler"] == "application/x-made-up"


def test_other_files_are_not_handled(site):
    (site.root / "htdocs" / "page.txt").write_text("plain")
    assert site.get("/page.txt").body == b"plain"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "FOO"])
def test_every_method_and_body_reaches_a_handler(site, method):
    response = site.request(method, "/set/x", body=b"12345")
    assert response.status == 200
    values = json.loads(response.body)
    assert (values["REQUEST_METHOD"], values["CONTENT_LENGTH"]) == (method, "5")


def test_accept_path_info_off_holds_for_handlers(site, log):
    (site.root / "htdocs" / "plain.report").write_text("a file")
    assert site.get("/plain.report").status == 200
    log.expect("WSGI0137")
    assert site.get("/plain.report/more").status == 404


@line("REQ-04")
def test_the_option_pass_authorization_shows_the_header(ask):
    header = [("Authorization", "Basic dTpw")]
    assert ask("/authorized", header)["HTTP_AUTHORIZATION"] == "Basic dTpw"
    assert "HTTP_AUTHORIZATION" not in ask("/set", header)


def test_a_section_can_put_another_script_behind_a_name(ask, site):
    assert ask("/shadowed")["mod_wsgi.handler_script"] == str(site.root / "report.py")


@ours
def test_names_of_handlers_may_have_capital_letters(ask):
    assert ask("/mixed")["mod_wsgi.callable_object"] == "handle_request"


def test_a_handler_without_group_options_takes_those_of_its_section(ask):
    assert ask("/grouped")["mod_wsgi.application_group"] == "named"


@ours
def test_a_handler_without_any_group_has_one_interpreter_for_all_resources(ask, site):
    groups = {ask(f"/default/{name}")["mod_wsgi.application_group"] for name in ("a", "b", "c")}
    assert groups == {f"localhost:{site.port}|{site.root}/report.py"}


@line("MAP-20")
def test_a_handler_script_inherits_the_process_group(ask, door):
    assert ask("/set")["mod_wsgi.process_group"] == door.process_group


@line("MAP-20")
def test_its_own_process_group_overrides(new_daemon):
    site = new_daemon(
        "threads=2",
        "WSGIDaemonProcess second threads=2\nWSGIHandlerScript own {root}/report.py process-group=second application-group=x\n"
        "WSGIHandlerScript embedded {root}/report.py process-group=%{GLOBAL} application-group=%{GLOBAL}\n"
        "<Location /own>\n  SetHandler own\n</Location>\n<Location /embedded>\n  SetHandler embedded\n</Location>\n",
    ).start()
    (site.root / "report.py").write_text(HANDLER)
    assert site.json("/own")["mod_wsgi.process_group"] == "second"
    assert site.json("/embedded")["mod_wsgi.process_group"] == ""


def answering(text, more=""):
    return f"{more}\ndef handle_request(e, s):\n    s('200 OK', [])\n    return [{text!r}.encode()]\n"


def touch(path):
    before = path.stat().st_mtime_ns if path.exists() else 0
    os.utime(path, ns=(before + 2_000_000_000,) * 2)


def test_a_changed_handler_script_is_loaded_anew_and_a_changed_resource_is_not(site, scripts):
    script = site.root / "stale.py"
    script.write_text(answering("old"))
    assert site.get("/stale").body == b"old"
    touch(scripts)
    assert site.get("/stale").body == b"old"
    script.write_text(answering("new"))
    touch(script)
    assert site.get("/stale").body == b"new"


@line("LIF-09")
def test_reload_required_is_asked_with_the_resource(site):
    script, flag = site.root / "stale.py", site.root / "reload"
    flag.unlink(missing_ok=True)
    seen = site.root / "seen"
    top = (
        "import os\n"
        "def reload_required(resource):\n"
        f"    open({str(seen)!r}, 'a').write(resource + '\\n')\n"
        f"    return resource.endswith('/stale') and os.path.exists({str(flag)!r})\n"
        "stamp = os.urandom(8).hex()\n"
    )
    script.write_text(top + "def handle_request(e, s):\n    s('200 OK', [])\n    return [stamp.encode()]\n")
    seen.touch()
    seen.chmod(0o666)
    touch(script)
    first = site.get("/stale").body
    assert site.get("/stale").body == first
    assert str(site.root / "htdocs" / "stale") in seen.read_text()
    flag.touch()
    wait_until(lambda: site.get("/stale").body != first, "the script to be loaded anew")
    flag.unlink()


@ours_in_daemon
def test_a_handler_script_without_its_function_is_404(site, log):
    log.expect("WSGI0089.*does not contain WSGI application 'handle_request'")
    assert site.get("/bare").status == 404


@line("PY-173")
def test_a_handler_script_that_is_missing_is_500(site, log):
    log.expect("WSGI0105.*missing.py", times=1)
    log.allow("WSGI0304|Traceback|FileNotFoundError|^ ")
    log.allow(r"\] (Traceback|  File|    |FileNotFoundError)")
    if not installation.IS_OURS:
        log.allow("WSGI0082")  # It looks at the file before, too.
    assert site.get("/missing").status == 500


@ours
@embedded_only("a worker keeps what it has loaded: test_daemon_httpd.py")
def test_a_handler_script_that_vanishes_goes_on_serving(new_site):
    site = new_site(CONFIG).start()
    script = site.root / "stale.py"
    script.write_text(answering("still here"))
    assert site.get("/stale").body == b"still here"
    script.unlink()
    site.log.expect("WSGI0105.*the version loaded before goes on serving")
    site.log.allow(r"\] (Traceback|  File|    |FileNotFoundError)")
    assert [site.get("/stale").body for _ in range(3)] == [b"still here"] * 3


@ours
def test_script_user_is_about_the_handler_script(new_daemon):
    uid = os.getuid()
    site = new_daemon(
        f"threads=2 script-user=#{uid}",
        "WSGIHandlerScript own {root}/report.py application-group=x\n<Location /own>\n  SetHandler own\n</Location>\n",
    ).start()
    script = site.root / "report.py"
    script.write_text(HANDLER)
    script.chmod(0o644)
    assert site.get("/own/no/such/resource").status == 200
    script.chmod(0o666)
    site.log.expect("WSGI0162.*report.py' can be written by everybody|WSGI0162.*report.py' can be written by its group")
    assert site.get("/own/no/such/resource").status == 403


# -- configtest


@pytest.fixture(scope="module")
def bench():
    httpd = Httpd(python_home=None)
    yield httpd
    httpd.discard()


@line("CFG-31")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("", "Name for handler script not supplied"),
        ("name", "Location of handler script not supplied"),
        ("name /tmp/x.py foo=bar", "Invalid option to WSGI handler script definition"),
        ("name /tmp/x.py callable-object=x", "Invalid option to WSGI handler script definition"),
        ("name /tmp/x.py process-group=", "Invalid name for WSGI process group"),
        ("name /tmp/x.py application-group=", "Invalid name for WSGI application group"),
        ("name /tmp/x.py pass-authorization=maybe", "Invalid value for authorization flag"),
    ],
)
def test_a_handler_script_without_what_it_needs_is_refused(bench, arguments, message):
    result = bench.configtest(f"WSGIHandlerScript {arguments}")
    assert result.returncode != 0
    assert message in " ".join(result.stderr.split()) and "Syntax error on line" in result.stderr


@ours
def test_a_relative_script_and_an_undefined_group_are_named_at_configtest(bench):
    result = bench.configtest("WSGIHandlerScript name x.py process-group=none")
    assert result.returncode == 0
    assert "WSGI0321" in result.stderr and "'x.py' is no absolute path" in result.stderr
    assert "WSGI0327" in result.stderr and "'none'" in result.stderr


@line("MRG-05")
def test_a_virtual_host_has_the_main_servers_handlers_and_may_put_another_script_behind_a_name(new_site):
    site = new_site(
        "WSGIHandlerScript one {root}/main.py application-group=%{GLOBAL}\n"
        "<Location /handled>\n  SetHandler one\n</Location>\n"
        "<Location /own>\n  SetHandler two\n</Location>\n"
        "<VirtualHost *:{port}>\n  ServerName inherits.test\n</VirtualHost>\n"
        "<VirtualHost *:{port}>\n  ServerName redefines.test\n"
        "  WSGIHandlerScript one {root}/other.py application-group=%{GLOBAL}\n"
        "  WSGIHandlerScript two {root}/other.py application-group=%{GLOBAL}\n"
        "</VirtualHost>\n"
    )
    for name in ("main", "other"):
        (site.root / f"{name}.py").write_text(answering(name))
        (site.root / f"{name}.py").chmod(0o644)
    site.start()

    def ask(host, path="/handled"):
        return site.get(path, [("Host", f"{host}.test")]).text

    assert (ask("inherits"), ask("redefines"), ask("redefines", "/own")) == ("main", "other", "other")
