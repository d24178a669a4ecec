"""`WSGIAccessScript`: who is let in before anybody is asked for a password; what such scripts see, and where they run."""

import os

import pytest

from conftest import run
from harness.access import BASIC, Guarded, answer, basic, location
from harness.checklist import embedded_only, line, ours, ours_in_daemon
from harness.condition import wait_until

# mod_wsgi asks inside httpd only.
pytestmark = ours_in_daemon

CONFIG = (
    location("/access", "WSGIAccessScript {puppet} {door}")
    + location("/access/inner", "WSGIAccessScript {root}/none.py {door}")
    + location("/both", "WSGIAccessScript {puppet} {door}", *BASIC, "WSGIAuthUserScript {known} {door}")
    + location("/any", "WSGIAccessScript {puppet} {door}", *BASIC, "WSGIAuthUserScript {known} {door}", "Satisfy Any")
    + location("/denied", "WSGIAccessScript {puppet} {door}", "Require all denied")
    + location("/missing", "WSGIAccessScript {known} {door}")
    + location("/gone", "WSGIAccessScript {root}/gone.py {door}")
    + location("/broken", "WSGIAccessScript {root}/broken.py {door}")
    + location("/leaving", "WSGIAccessScript {root}/leaving.py {door}")
    + location("/changing", "WSGIAccessScript {root}/changing.py {door}")
    + location("/guards", "WSGIAccessScript {puppet} {door} application-group=guards")
    + location("/of-host", "WSGIAccessScript {puppet} {door} application-group=%{HOST}")
    + location("/environ", "WSGIAccessScript {puppet} {door}", "SetEnv FROM_SETENV yes")
    + location("/proxied", "WSGIAccessScript {puppet} {door}", "ProxyPass http://127.0.0.1:{port}/open.html")
    + location("/native", "WSGIAccessScript {puppet} {door}", "WSGIPassApacheRequest On")
    + location("/included", "WSGIAccessScript {root}/shut.py {door}", "Options +Includes", "SetOutputFilter INCLUDES")
    + location("/app", "WSGIAccessScript {puppet} {door}")
    + "WSGIScriptAlias /app {apps}/named.wsgi application-group=%{GLOBAL}\n"
    + "<Directory {root}/htdocs/htaccess>\n  AllowOverride AuthConfig\n</Directory>\n"
)

DENIED = "WSGI0057: Client denied by server configuration"


@pytest.fixture(scope="module")
def site(door):
    site = Guarded(door, CONFIG, modules=("include",))
    for area in ("access", "access/inner", "both", "any", "denied", "missing", "gone", "broken", "leaving", "changing",
                 "guards", "of-host", "environ", "native", "htaccess"):  # fmt: skip
        site.page(f"{area}/page.html", "guarded")
    site.page("open.html", "guarded")
    site.page("included/page.html", 'before <!--#include virtual="/included/shut/page.html" --> after')
    site.page("included/shut/page.html", "guarded")
    site.write(
        "shut.py",
        "def allow_access(environ, host):\n    path = environ['SCRIPT_NAME'] + environ['PATH_INFO']\n"
        "    return '/shut/' not in path\n",
    )
    site.write("none.py", "def allow_access(environ, host):\n    return None\n")
    site.write("broken.py", "def allow_access(environ, host)\n    return True\n")
    site.write("leaving.py", "import sys\nsys.exit(3)\n")
    yield from run(site)


@pytest.fixture
def ask(site):
    """The status of a page, when the script that is asked about it does this."""
    return lambda expression, path="/access/page.html", *headers: site.get(path, [answer(expression), *headers]).status


# -- results


@line("ACC-07", "PY-216")
def test_true_lets_in(ask):
    assert ask("True") == 200


@line("ACC-07", "PY-216")
def test_false_is_403(ask, log):
    log.expect(DENIED)
    assert ask("False") == 403


@line("ACC-07", "PY-216")
def test_none_is_no_opinion(ask, log):
    assert ask("None") == 200
    log.allow("AH01630")
    assert ask("None", "/denied/page.html") == 403


@line("ACC-07")
def test_true_does_not_open_what_other_rules_keep_shut(ask, log):
    log.allow("AH01630")
    assert ask("True", "/denied/page.html") == 403


@line("ACC-07", "PY-216")
@pytest.mark.parametrize("expression", ["1", "0", "'yes'", "''", "[]", "b'x'", "object()", "NotImplemented"])
def test_anything_else_is_403(ask, log, expression):
    log.expect("WSGI0055")
    log.expect(DENIED)
    assert ask(expression) == 403


@line("ACC-07", "PY-216")
@pytest.mark.parametrize("exception", ["ValueError('no')", "KeyboardInterrupt()", "GeneratorExit()"])
def test_an_exception_is_403(ask, log, exception):
    log.expect_exception(exception.partition("(")[0])
    log.expect(DENIED)
    assert ask(f"raises({exception})") == 403


def test_an_exit_is_403_and_ends_nothing(ask, log):
    log.expect_exception("SystemExit", code="WSGI0175")
    log.expect(DENIED)
    assert ask("raises(SystemExit(0))") == 403
    assert ask("True") == 200


def test_a_result_whose_class_is_at_fault_is_403(ask, log):
    log.expect("WSGI0055")
    log.expect(DENIED)
    assert ask("type('Evil', (), {'__bool__': lambda self: True, '__eq__': lambda self, other: True})()") == 403


@line("ACC-07")
def test_a_script_without_the_function_is_403(site, log):
    log.expect("WSGI0056")
    log.expect(DENIED)
    assert site.get("/missing/page.html").status == 403


@pytest.mark.parametrize(
    ("area", "code", "text"),
    [("gone", "WSGI0105", "FileNotFoundError"), ("broken", "WSGI0105", "SyntaxError"), ("leaving", "WSGI0107", "SystemExit")],
)
def test_a_script_that_cannot_be_loaded_is_403_again_and_again(site, log, area, code, text):
    log.expect_exception(text, code=code)
    log.expect(DENIED, times=2)
    log.allow("WSGI0304")
    assert [site.get(f"/{area}/page.html").status for _ in range(2)] == [403, 403]


def test_an_inner_section_has_its_own_script(ask):
    assert ask("False", "/access/inner/page.html") == 200


# -- when, and before whom


@line("ACC-08")
def test_it_is_asked_before_a_password_is(ask, log):
    log.expect(DENIED)
    assert ask("False", "/both/page.html") == 403
    assert ask("True", "/both/page.html") == 401
    assert ask("True", "/both/page.html", basic()) == 200


@line("ACC-08")
def test_the_host_is_the_clients_address_without_lookups(ask, site, log):
    log.expect("told")
    assert ask("tells(environ, arguments[0]) or True") == 200
    assert site.told() == "127.0.0.1"


@line("ACC-09")
def test_satisfy_any_lets_a_host_in_without_a_password(ask):
    assert ask("True", "/any/page.html") == 200


@line("ACC-09")
def test_satisfy_any_lets_a_password_in_from_any_host(ask):
    assert ask("False", "/any/page.html") == 401
    assert ask("False", "/any/page.html", basic()) == 200


def test_satisfy_any_does_not_take_a_failure_for_a_permission(ask, log):
    log.expect_exception("ValueError: no")
    assert ask("raises(ValueError('no'))", "/any/page.html") == 401


@line("ACC-11")
@pytest.mark.parametrize(("path", "body"), [("/access/page.html", b"guarded"), ("/proxied", b"guarded"), ("/app", b"named.wsgi")])
def test_it_guards_files_proxied_sites_and_applications(site, log, path, body):
    assert site.get(path, [answer("True")]).body == body
    log.expect(DENIED)
    assert site.get(path, [answer("False")]).status == 403


# -- environ

KEYS = {
    "HTTP_HOST", "HTTP_X_ANSWER", "SERVER_SIGNATURE", "SERVER_SOFTWARE", "SERVER_NAME", "SERVER_ADDR", "SERVER_PORT",
    "REMOTE_ADDR", "REMOTE_PORT", "DOCUMENT_ROOT", "SERVER_ADMIN", "SERVER_PROTOCOL", "REQUEST_METHOD", "QUERY_STRING",
    "REQUEST_URI", "SCRIPT_NAME", "apache.version", "mod_wsgi.version", "mod_wsgi.process_group",
    "mod_wsgi.application_group", "wsgi.errors", "mod_ssl.is_https", "mod_ssl.var_lookup",
}  # fmt: skip


@pytest.fixture
def see(site, log):
    """What an expression over `environ` comes to in a script that is asked."""

    def look(expression, path="/environ/page.html", headers=(), method="GET", body=None):
        log.expect("told")
        headers = [answer(f"tells(environ, {expression}) or True"), *headers]
        assert site.request(method, path, headers, body).status in (200, 401, 405)
        return site.told()

    return look


@line("ACC-10", "PY-217")
def test_the_environ_has_these_keys_and_no_others(see):
    assert set(see("sorted(environ)")) - {"PATH_INFO"} == KEYS


@line("ACC-10", "PY-217")
def test_the_environ_has_neither_credentials_nor_variables_of_setenv(see):
    headers = [basic(), ("Proxy-Authorization", "Basic eA=="), ("X-Under_Score", "1")]
    seen = see("sorted(environ)", headers=headers)
    hidden = ("AUTHORIZATION", "FROM_SETENV", "REMOTE_USER", "UNDER_SCORE", "wsgi.input")
    assert not [key for key in seen if any(part in key for part in hidden)]


@ours
def test_the_environ_names_no_proxy(see):
    assert "HTTP_PROXY" not in see("sorted(environ)", headers=[("Proxy", "http://evil")])


@line("ACC-10")
def test_the_environ_describes_the_request(see, site, door):
    wanted = (
        "REQUEST_METHOD QUERY_STRING REQUEST_URI SCRIPT_NAME SERVER_PROTOCOL REMOTE_ADDR HTTP_X_MORE CONTENT_TYPE "
        "CONTENT_LENGTH DOCUMENT_ROOT mod_wsgi.application_group mod_wsgi.process_group"
    ).split()
    headers = [("X-More", "a"), ("X-More", "b"), ("Content-Type", "text/x")]
    seen = see(f"[environ[key] for key in {wanted}]", "/environ//page.html?a=%20b", headers, "POST", b"abc")
    assert dict(zip(wanted, seen)) == {
        "REQUEST_METHOD": "POST",
        "QUERY_STRING": "a=%20b",
        "REQUEST_URI": "/environ//page.html?a=%20b",
        "SCRIPT_NAME": "/environ/page.html",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "HTTP_X_MORE": "a, b",
        "CONTENT_TYPE": "text/x",
        "CONTENT_LENGTH": "3",
        "DOCUMENT_ROOT": str(site.root / "htdocs"),
        "mod_wsgi.application_group": "",
        "mod_wsgi.process_group": door.process_group,
    }


def test_texts_are_latin_1_strings_and_versions_are_tuples(see):
    assert see("environ['HTTP_X_ODD']", headers=[("X-Odd", "\xe9")]) == "\xe9"
    assert see("[type(environ[key]).__name__ for key in ('apache.version', 'mod_wsgi.version')]") == ["tuple"] * 2


@line("ACC-10")
def test_mod_ssls_callables_answer_without_tls(see):
    assert see("[environ['mod_ssl.is_https'](), environ['mod_ssl.var_lookup']('SSL_PROTOCOL')]") == [0, None]
    assert see("environ['mod_ssl.var_lookup'](b'SSL_PROTOCOL')") is None


@pytest.mark.parametrize("name", ["1", "None", "['SSL_PROTOCOL']"])
def test_var_lookup_takes_a_name(ask, log, name):
    log.expect_exception("TypeError")
    log.expect(DENIED)
    assert ask(f"environ['mod_ssl.var_lookup']({name})") == 403


@line("ACC-10")
@pytest.mark.parametrize("call", ["kept[-2]()", "kept[-1]('SSL_PROTOCOL')"])
def test_mod_ssls_callables_expire_with_the_question(ask, log, call):
    assert ask("keeps(environ['mod_ssl.is_https'], environ['mod_ssl.var_lookup']) or True") == 200
    log.expect_exception("RuntimeError: request object has expired")
    log.expect(DENIED)
    assert ask(call) == 403


@line("PY-38")
def test_httpds_request_is_passed_to_scripts_in_its_own_processes_where_it_is_switched_on(see, door):
    seen = "type(environ.get('apache.request_rec')).__name__"
    assert see(seen, "/native/page.html") == ("NoneType" if door.is_daemon else "PyCapsule")
    assert see(seen) == "NoneType"


@ours
@embedded_only("the request is httpd's own")
def test_httpds_request_expires_with_the_question(see, ask):
    def is_pointer(capsule):
        check = "__import__('ctypes').pythonapi.PyCapsule_IsValid(__import__('ctypes').py_object({}), None)"
        return see(check.format(capsule), "/native/page.html")

    assert is_pointer("environ['apache.request_rec']") == 1
    assert ask("keeps(environ['apache.request_rec']) or True", "/native/page.html") == 200
    assert is_pointer("kept[-1]") == 0


def test_wsgi_errors_expires_with_the_question(ask, log):
    assert ask("keeps(environ['wsgi.errors']) or True") == 200
    log.expect_exception("RuntimeError: write.. called on wsgi.errors after request completed")
    log.expect(DENIED)
    assert ask("kept[-1].write('late')") == 403


def test_a_thread_that_outlives_the_question_gets_nothing_more_of_it(ask, log):
    log.expect("refused late: RuntimeError RuntimeError RuntimeError")
    assert ask("lingers(environ) or True") == 200


@ours
def test_what_a_script_writes_is_in_the_requests_log_with_its_own_path(ask, site, log):
    log.expect("said by a script")
    log.expect("written by a script")
    assert ask("says('said by a script') or environ['wsgi.errors'].write('written by a script') and True") == 200
    for text in ("said by a script", "written by a script"):
        record = log.wait_for(text)
        assert record.request and record.client.startswith("127.0.0.1")
        assert f"[script {site.root}/puppet.py]" in record.message


# -- interpreter, reload, .htaccess


@line("ACC-12")
@pytest.mark.parametrize(("path", "group"), [("/access", ""), ("/guards", "guards"), ("/of-host", "localhost:{port}")])
def test_application_group_names_the_interpreter(see, site, path, group):
    group = group.replace("{port}", str(site.port))
    expression = "[environ['mod_wsgi.application_group'], __import__('mod_wsgi').application_group]"
    seen = see(expression, f"{path}/page.html", [("Host", f"localhost:{site.port}")])
    assert seen == [group, group]


@line("ACC-12")
def test_scripts_of_different_interpreters_share_nothing(see):
    assert see("len(calls.append(1) or calls)", "/access/page.html") == 1
    assert see("len(calls)", "/guards/page.html") == 0


@line("ACC-13", "PY-220")
def test_a_script_that_has_changed_is_asked_anew_by_the_next_request(site, log):
    log.expect(DENIED)
    path = site.write("changing.py", "def allow_access(environ, host):\n    return False\n")
    assert site.get("/changing/page.html").status == 403
    before = path.stat().st_mtime_ns
    path.write_text("def allow_access(environ, host):\n    return True\n")
    os.utime(path, ns=(before + 2_000_000_000,) * 2)
    assert site.get("/changing/page.html").status == 200


@ours
def test_a_version_that_cannot_be_loaded_lets_nobody_in_though_the_one_before_did(site, log):
    path = site.write("changing.py", "def allow_access(environ, host):\n    return True\n")
    stamp = path.stat().st_mtime_ns + 10_000_000_000
    os.utime(path, ns=(stamp, stamp))
    assert site.get("/changing/page.html").status == 200
    path.write_text("raise ValueError('half a deploy')\n")
    os.utime(path, ns=(stamp + 2_000_000_000,) * 2)
    log.expect_exception("ValueError: half a deploy", code="WSGI0109")
    log.expect(DENIED, times=2)
    log.allow("WSGI0304")
    assert [site.get("/changing/page.html").status for _ in range(2)] == [403, 403]
    path.write_text("def allow_access(environ, host):\n    return True\n")
    os.utime(path, ns=(stamp + 4_000_000_000,) * 2)
    assert site.get("/changing/page.html").status == 200


@ours
def test_the_version_before_lets_nobody_in_while_the_new_one_is_loaded(site, log):
    path = site.write("changing.py", "def allow_access(environ, host):\n    return True\n")
    stamp = path.stat().st_mtime_ns + 20_000_000_000
    os.utime(path, ns=(stamp, stamp))
    assert site.get("/changing/page.html").status == 200
    begun = "import sys, time\nprint('loading begins', file=sys.stderr)\ntime.sleep(0.7)\n"
    path.write_text(begun + "def allow_access(environ, host):\n    return False\n")
    os.utime(path, ns=(stamp + 2_000_000_000,) * 2)
    # Behind the daemon door several processes may load it.
    log.allow("loading begins")
    log.expect(DENIED, times=2)
    with site.connect() as first:
        first.send_request("GET", "/changing/page.html")
        log.wait_for("loading begins")
        assert site.get("/changing/page.html").status == 403
        assert first.response().status == 403


@line("CFG-25", "CFG-36")
@pytest.mark.parametrize(
    "directive",
    ["WSGIAccessScript {file}", "WSGIAuthUserScript {file}", "WSGIAuthGroupScript {file}", "WSGIGroupAuthoritative Off"],
)
def test_allow_override_auth_config_lets_these_in(site, directive):
    file = site.root / "htdocs" / "htaccess" / ".htaccess"
    file.write_text(directive.replace("{file}", str(site.root / "puppet.py")))
    assert site.get("/htaccess/page.html", [answer("True")]).status == 200
    file.unlink()


@line("CFG-25")
def test_an_access_script_of_a_htaccess_is_asked(site, log):
    file = site.root / "htdocs" / "htaccess" / ".htaccess"
    file.write_text(f"WSGIAccessScript {site.root}/puppet.py")
    log.expect(DENIED)
    assert site.get("/htaccess/page.html", [answer("False")]).status == 403
    file.unlink()


@ours
def test_a_htaccess_cannot_name_a_process_group(site, log):
    file = site.root / "htdocs" / "htaccess" / ".htaccess"
    file.write_text(f"WSGIAccessScript {site.root}/puppet.py process-group=daemon")
    log.expect("process-group= is not allowed in a .htaccess")
    assert site.get("/htaccess/page.html").status == 500
    file.unlink()


# -- requests within requests


def test_a_page_that_includes_another_one_of_the_same_section_does_not_open_it(site, log):
    log.expect(DENIED, times=2)
    log.expect("AH01328|unable to include")
    assert site.get("/included/shut/page.html").status == 403
    response = site.get("/included/page.html")
    assert response.status == 200 and response.text.startswith("before ") and "guarded" not in response.text


# -- many at once


def test_questions_of_many_clients_get_each_its_own_answer(site, log):
    log.allow(DENIED)
    connections = [site.connect() for _ in range(10)]
    for _ in range(5):
        for number, connection in enumerate(connections):
            expression = f"time.sleep(0.002) or {bool(number % 2)}"
            connection.send_request("GET", "/access/page.html", [answer(expression)])
        statuses = [connection.response().status for connection in connections]
        assert statuses == [403, 200] * 5
    for connection in connections:
        connection.close()


def test_a_client_that_leaves_while_its_question_is_asked_harms_nobody(site, ask, log):
    log.allow(DENIED)
    connection = site.connect()
    connection.send_request("GET", "/access/page.html", [answer("says('begun') or time.sleep(0.3) or True")])
    log.expect("begun")
    log.wait_for("begun")
    connection.reset()
    assert ask("True") == 200
    wait_until(lambda: ask("True") == 200, "the site to go on")
