"""The WSGI environ: which keys, of which type, with which value."""

import base64
import json
import re
import time

import pytest

from harness.checklist import embedded_only, line, ours, smoke
from harness.condition import wait_until

HTTPD_MODULES = ("auth_basic", "authn_core", "authn_file", "authz_user")

CONFIG = """
WSGIScriptAlias /environ {apps}/environ.wsgi application-group=%{GLOBAL}
WSGIScriptAlias /passed {apps}/environ.wsgi application-group=%{GLOBAL} pass-authorization=On
WSGIScriptAlias /d {apps}/environ.wsgi application-group=%{GLOBAL}
SetEnv FOO bar
SetEnv HTTP_X_SET from-setenv
SetEnv HTTP_X_SENT from-setenv
SetEnv mod_wsgi.x-foo hidden
SetEnv mod_wsgi.process_group wrong
SetEnv wsgi.url_scheme gopher
SetEnv PATH /nowhere
<Location /environ/https-on>
  SetEnv HTTPS on
</Location>
<Location /environ/https-1>
  SetEnv HTTPS 1
</Location>
<Location /environ/https-0>
  SetEnv HTTPS 0
</Location>
<Location /environ/length>
  SetEnv CONTENT_LENGTH 99
  SetEnv CONTENT_TYPE text/strange
</Location>
<Location /environ/authorization>
  WSGIPassAuthorization On
</Location>
<Location /environ/private>
  AuthType Basic
  AuthName private
  AuthUserFile {root}/users
  Require valid-user
</Location>
<LocationMatch "/head-off$">
  WSGIMapHEADToGET Off
</LocationMatch>
<LocationMatch "/head-on$">
  WSGIMapHEADToGET On
</LocationMatch>
<LocationMatch "/head-deflated$">
  SetOutputFilter DEFLATE
</LocationMatch>
RewriteEngine On
RewriteRule ^/environ/rewritten - [E=FROM_REWRITE:yes]
ErrorDocument 404 /environ/not-found
Alias /missing-file.txt {root}/htdocs/missing-file.txt
WSGIScriptAlias / {apps}/environ.wsgi application-group=%{GLOBAL}
"""

# Every CGI-style key that a plain request has.
ALWAYS = (
    "REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING REQUEST_URI SERVER_PROTOCOL SERVER_NAME SERVER_PORT SERVER_ADDR "
    "SERVER_SOFTWARE SERVER_ADMIN REMOTE_ADDR REMOTE_PORT DOCUMENT_ROOT SCRIPT_FILENAME CONTEXT_PREFIX "
    "CONTEXT_DOCUMENT_ROOT REQUEST_SCHEME HTTP_HOST"
).split()

NEVER = (
    "PATH GATEWAY_INTERFACE PATH_TRANSLATED SERVER_SIGNATURE REMOTE_HOST REMOTE_IDENT LD_LIBRARY_PATH HTTPS "
    "REMOTE_USER AUTH_TYPE CONTENT_TYPE CONTENT_LENGTH HTTP_CONTENT_TYPE HTTP_CONTENT_LENGTH HTTP_AUTHORIZATION"
).split()

MOD_WSGI_STRINGS = (
    "process_group application_group callable_object request_handler handler_script script_name path_info "
    "listener_host listener_port server_pid request_id"
).split()


@pytest.fixture
def environ(site):
    """Asks for a path and returns the environ it was served with."""

    def ask(path="/environ", headers=(), method="GET", body=None):
        response = site.request(method, path, headers, body)
        assert response.status == 200, response
        return json.loads(response.body)["values"]

    return ask


@smoke
@line("PY-1", "REQ-01")
def test_every_cgi_key_is_present_and_a_str_on_a_plain_get(site):
    types = site.json("/environ")["types"]
    assert {key: types.get(key) for key in ALWAYS} == dict.fromkeys(ALWAYS, "str")


def test_the_cgi_values_are_those_of_the_request(site, environ):
    with site.connect() as connection:
        port = connection.socket.getsockname()[1]
        response = connection.get("/environ/a/b?x=1", [("Host", f"example.org:{site.port}")])
    values = json.loads(response.body)["values"]
    expected = {
        "REQUEST_METHOD": "GET",
        "SCRIPT_NAME": "/environ",
        "PATH_INFO": "/a/b",
        "QUERY_STRING": "x=1",
        "REQUEST_URI": "/environ/a/b?x=1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "example.org",
        "SERVER_PORT": str(site.port),
        "SERVER_ADDR": "127.0.0.1",
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_PORT": str(port),
        "DOCUMENT_ROOT": str(site.root / "htdocs"),
        "SCRIPT_FILENAME": str(site.apps / "environ.wsgi"),
        "REQUEST_SCHEME": "http",
        "HTTP_HOST": f"example.org:{site.port}",
    }
    assert {key: values[key] for key in expected} == expected


def test_server_software_is_the_servers_banner_with_our_product(environ):
    assert re.match(r"Apache/2\.4\..* mod_wsgi(_rs)?/\d", environ()["SERVER_SOFTWARE"])


@line("PY-2")
def test_wsgi_version_is_the_tuple_1_0(site):
    document = site.json("/environ")
    assert document["values"]["wsgi.version"] == [1, 0]
    assert document["types"]["wsgi.version"] == "tuple"


def test_the_wsgi_keys_have_their_types(site):
    types = site.json("/environ")["types"]
    expected = {
        "wsgi.url_scheme": "str",
        "wsgi.multithread": "bool",
        "wsgi.multiprocess": "bool",
        "wsgi.run_once": "bool",
        "wsgi.input_terminated": "bool",
        "wsgi.file_wrapper": "type",
    }
    assert {key: types.get(key) for key in expected} == expected
    assert {"wsgi.input", "wsgi.errors"} <= set(types)


def test_the_environ_is_a_plain_dict_of_its_own_for_each_request(serve):
    def application(environ, start_response):
        start_response("200 OK", [])
        fresh = type(environ) is dict and "left.over" not in environ
        environ["left.over"] = True
        return [str(fresh).encode()]

    app = serve(application)
    assert app.get().body + app.get().body == b"TrueTrue"


@line("PY-3")
def test_the_scheme_is_http_over_plain_tcp(environ):
    assert environ()["wsgi.url_scheme"] == "http"


@line("PY-4", "REQ-05")
@pytest.mark.parametrize("path", ["https-on", "https-1"])
def test_env_https_on_makes_the_scheme_https_and_is_removed(environ, path):
    values = environ(f"/environ/{path}")
    assert values["wsgi.url_scheme"] == "https"
    assert "HTTPS" not in values


@line("PY-5")
def test_env_https_0_leaves_the_scheme_http_and_is_removed(environ):
    values = environ("/environ/https-0")
    assert values["wsgi.url_scheme"] == "http"
    assert "HTTPS" not in values


@line("PY-6")
def test_setenv_cannot_override_the_scheme(environ):
    assert environ()["wsgi.url_scheme"] == "http"


@line("PY-7", "REQ-05")
def test_setenv_shows_as_str(environ):
    assert environ()["FOO"] == "bar"


def test_an_environment_variable_of_a_rewrite_rule_shows(environ):
    assert environ("/environ/rewritten")["FROM_REWRITE"] == "yes"


@line("PY-8")
def test_a_request_header_beats_setenv_of_its_name(environ):
    assert environ(headers=[("X-Sent", "client")])["HTTP_X_SENT"] == "client"


@line("PY-9")
def test_setenv_of_a_header_name_shows_when_the_header_was_not_sent(environ):
    assert environ()["HTTP_X_SET"] == "from-setenv"


@line("PY-10")
def test_setenv_of_an_internal_key_is_hidden(environ):
    assert "mod_wsgi.x-foo" not in environ()


@line("PY-11")
def test_setenv_of_the_process_group_is_overwritten(environ, door):
    values = environ()
    assert values["mod_wsgi.process_group"] == ("" if door.name == "embedded" else door.name)


@line("PY-12", "PY-13", "REQ-01")
@pytest.mark.parametrize("key", NEVER)
def test_a_plain_request_never_has(environ, key):
    assert key not in environ()


@line("PY-14", "REQ-02")
@pytest.mark.parametrize("name", ["X_Under", "X.Dot", "X!Mark", "Content_Length", "X-Forwarded_For"])
def test_a_header_name_with_anything_but_letters_digits_and_dashes_is_dropped(environ, name):
    values = environ(headers=[(name, "sent")])
    assert "sent" not in values.values()


@line("PY-15", "REQ-03")
def test_a_proxy_header_never_becomes_http_proxy(environ):
    assert "HTTP_PROXY" not in environ(headers=[("Proxy", "http://evil/")])


AUTHORIZATION = ("Authorization", "Basic dTpw")


@line("PY-16", "REQ-04")
def test_authorization_is_hidden_by_default(environ):
    values = environ(headers=[AUTHORIZATION, ("Proxy-Authorization", "Basic dTpw")])
    assert "HTTP_AUTHORIZATION" not in values and "HTTP_PROXY_AUTHORIZATION" not in values


@line("PY-17", "REQ-04")
def test_wsgi_pass_authorization_shows_it(environ):
    values = environ("/environ/authorization", [AUTHORIZATION, ("Proxy-Authorization", "x")])
    assert values["HTTP_AUTHORIZATION"] == "Basic dTpw"
    assert "HTTP_PROXY_AUTHORIZATION" not in values


@line("PY-18", "REQ-04")
def test_the_alias_option_shows_it_for_that_alias_only(environ):
    assert environ("/passed", [AUTHORIZATION])["HTTP_AUTHORIZATION"] == "Basic dTpw"
    assert "HTTP_AUTHORIZATION" not in environ("/d", [AUTHORIZATION])


def test_a_user_authenticated_by_httpd_is_remote_user(site, environ):
    (site.root / "users").write_text("u:{SHA}" + base64.b64encode(bytes.fromhex(SHA1_OF_P)).decode() + "\n")
    values = environ("/environ/private", [AUTHORIZATION])
    assert (values["REMOTE_USER"], values["AUTH_TYPE"]) == ("u", "Basic")
    assert "HTTP_AUTHORIZATION" not in values


SHA1_OF_P = "516b9783fca517eecbd1d064da2d165310b19759"


@line("PY-19", "REQ-02")
def test_a_repeated_header_is_joined_with_comma_and_blank(environ):
    assert environ(headers=[("X-Dash", "1"), ("X-Dash", "2")])["HTTP_X_DASH"] == "1, 2"


def test_repeated_cookies_arrive_whole(environ):
    cookie = environ(headers=[("Cookie", "a=1"), ("Cookie", "b=2")])["HTTP_COOKIE"]
    assert cookie.replace(";", ",") == "a=1, b=2"


@line("PY-20")
def test_a_header_byte_e9_arrives_as_u00e9(environ):
    assert environ(headers=[("X-Name", "caf\xe9")])["HTTP_X_NAME"] == "caf\xe9"


@line("PY-21")
def test_a_percent_encoded_utf8_path_arrives_as_latin1_pairs(environ):
    values = environ("/environ/caf%C3%A9")
    assert values["PATH_INFO"] == "/caf\xc3\xa9"
    assert values["REQUEST_URI"] == "/environ/caf%C3%A9"


@line("PY-22", "MAP-10")
def test_doubled_slashes_collapse_in_path_info_and_stay_in_request_uri(environ):
    values = environ("//environ//a///b")
    assert (values["SCRIPT_NAME"], values["PATH_INFO"]) == ("/environ", "/a/b")
    assert values["REQUEST_URI"] == "//environ//a///b"


@line("PY-23", "MAP-03")
def test_a_root_mount_has_an_empty_script_name(environ):
    values = environ("/x")
    assert (values["SCRIPT_NAME"], values["PATH_INFO"]) == ("", "/x")


@line("PY-24")
def test_the_exact_url_of_a_mount_has_an_empty_path_info(environ):
    values = environ("/d")
    assert (values["SCRIPT_NAME"], values["PATH_INFO"]) == ("/d", "")


@line("PY-25")
def test_the_query_string_is_raw_and_empty_when_there_is_none(environ):
    assert environ("/environ?a=%41&b=+%2B")["QUERY_STRING"] == "a=%41&b=+%2B"
    assert environ("/environ?")["QUERY_STRING"] == ""
    assert environ("/environ")["QUERY_STRING"] == ""


@line("PY-26")
def test_content_type_and_length_are_there_only_when_sent(environ):
    values = environ(method="POST", headers=[("Content-Type", "text/x")], body=b"12345")
    assert (values["CONTENT_TYPE"], values["CONTENT_LENGTH"]) == ("text/x", "5")
    assert "CONTENT_TYPE" not in environ() and "CONTENT_LENGTH" not in environ()


@ours
def test_setenv_cannot_invent_a_body(environ):
    values = environ("/environ/length")
    assert "CONTENT_LENGTH" not in values and "CONTENT_TYPE" not in values


@line("PY-27", "MAP-28")
@pytest.mark.parametrize("method", ["FOO", "PATCH", "OPTIONS", "PROPFIND", "DELETE", "PUT"])
def test_any_method_reaches_the_application(environ, method):
    assert environ(method=method)["REQUEST_METHOD"] == method


@pytest.fixture
def method_seen(serve):
    """Sends HEAD and returns the method that the application saw."""

    def application(environ, start_response):
        start_response("200 OK", [("X-Method", environ["REQUEST_METHOD"]), ("Content-Type", "text/plain")])
        return [b"12345" * 100]

    app = serve(application)

    def ask(rest="", headers=()):
        with app.site.connect() as connection:
            response = connection.request("HEAD", app.url + rest, headers)
            assert connection.request("HEAD", app.url + rest, headers).status == 200, (
                "a body followed the HEAD response"
            )
        return response.header("X-Method")

    return ask


@line("PY-28", "REQ-13")
def test_head_stays_head_with_map_head_to_get_off(method_seen):
    assert method_seen("/head-off", [("Accept-Encoding", "gzip")]) == "HEAD"


@line("PY-29", "REQ-13")
def test_head_becomes_get_with_map_head_to_get_on(method_seen):
    assert method_seen("/head-on") == "GET"


@line("PY-30", "REQ-13")
def test_head_becomes_get_by_default_only_when_an_output_filter_is_active(method_seen):
    assert method_seen("/plain") == "HEAD"
    assert method_seen("/head-deflated", [("Accept-Encoding", "gzip")]) == "GET"


@embedded_only("it is about the embedded one")
@line("PY-35")
def test_an_embedded_request_was_in_no_queue_and_no_daemon(environ):
    values = environ()
    assert (values["mod_wsgi.queue_start"], values["mod_wsgi.daemon_start"]) == (0.0, 0.0)


def test_request_start_and_application_start_are_epoch_seconds_in_order(environ):
    before = time.time()
    values = environ()
    assert before - 1 < values["mod_wsgi.request_start"] <= values["mod_wsgi.application_start"] < time.time() + 1


@line("PY-36")
def test_thread_id_is_an_int_and_server_pid_a_decimal_str(site):
    document = site.json("/environ")
    assert document["types"]["mod_wsgi.thread_id"] == "int"
    assert document["values"]["mod_wsgi.server_pid"] == str(site.child())


@line("PY-37", "REQ-32")
def test_request_id_is_the_log_id_of_httpd(site, environ):
    request_id = environ("/environ?for-the-log")["mod_wsgi.request_id"]
    wait_until(lambda: any("for-the-log" in entry for entry in site.accesses()), "the access log line")
    assert [entry.split()[3] for entry in site.accesses() if "for-the-log" in entry] == [request_id]


def test_the_mod_wsgi_keys_have_their_types(site):
    types = site.json("/environ")["types"]
    assert {key: types.get(f"mod_wsgi.{key}") for key in MOD_WSGI_STRINGS} == dict.fromkeys(MOD_WSGI_STRINGS, "str")
    floats = ("request_start", "queue_start", "daemon_start", "application_start")
    assert {key: types.get(f"mod_wsgi.{key}") for key in floats} == dict.fromkeys(floats, "float")
    assert (types["mod_wsgi.version"], types["apache.version"]) == ("tuple", "tuple")


def test_the_mod_wsgi_keys_say_where_the_request_runs(site, environ):
    values = environ("/environ/x")
    expected = {
        "version": [6, 1, 1],
        "application_group": "",
        "callable_object": "application",
        "request_handler": "wsgi-script",
        "handler_script": "",
        "script_name": "/environ",
        "path_info": "/x",
        "listener_port": str(site.port),
    }
    assert {key: values[f"mod_wsgi.{key}"] for key in expected} == expected
    assert values["apache.version"][:2] == [2, 4]


GONE = (
    "daemon_connects daemon_restarts enable_sendfile ignore_activity script_reloading thread_requests script_start"
).split()


@pytest.mark.parametrize("key", GONE)
def test_a_key_that_mod_wsgi_6_has_dropped_is_absent(environ, key):
    assert f"mod_wsgi.{key}" not in environ()


@line("REQ-31")
def test_a_redirected_request_carries_redirect_variables(site, environ):
    values = environ("/missing-file.txt?q=1")
    assert (values["PATH_INFO"], values["REDIRECT_STATUS"]) == ("/not-found", "404")
    assert (values["REDIRECT_URL"], values["REDIRECT_QUERY_STRING"]) == ("/missing-file.txt", "q=1")


def test_mod_wsgi_and_apache_modules_say_the_same_as_the_environ(serve):
    def application(environ, start_response):
        import apache
        import mod_wsgi

        same = (
            mod_wsgi.version == environ["mod_wsgi.version"]
            and mod_wsgi.application_group == environ["mod_wsgi.application_group"]
            and mod_wsgi.process_group == environ["mod_wsgi.process_group"]
            and apache.version == environ["apache.version"]
            and mod_wsgi.FileWrapper is environ["wsgi.file_wrapper"]
        )
        start_response("200 OK", [])
        return [str(same).encode()]

    assert serve(application).get().body == b"True"
