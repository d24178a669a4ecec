"""`WSGIDispatchScript`: a script says for each request where its application runs."""

import json
import os

import pytest

from conftest import run
from harness.checklist import embedded_only, line, ours
from harness.site import Site

# Headers `X-Process-Group`, `X-Application-Group` and `X-Callable-Object`: what the function of that name comes to.
PUPPET = """
import json

def raises(exception):
    raise exception

def tells(environ, value):
    environ["wsgi.errors"].write("told " + json.dumps(value).encode().hex() + chr(10))

def puppet(environ, name):
    return eval(environ.get("HTTP_X_" + name, "None"), {**globals(), "environ": environ})

def process_group(environ):
    return puppet(environ, "PROCESS_GROUP")

def application_group(environ):
    return puppet(environ, "APPLICATION_GROUP")

def callable_object(environ):
    return puppet(environ, "CALLABLE_OBJECT")
"""

SERVED = """
import json, mod_wsgi

def named(name):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        keys = ("mod_wsgi.process_group", "mod_wsgi.application_group", "mod_wsgi.callable_object")
        return [json.dumps([name, *(environ[key] for key in keys)]).encode()]
    return application

application, another = named("application"), named("another")
"""

CONFIG = """
WSGISocketPrefix {root}/wsgi
WSGIDaemonProcess other threads=4
<VirtualHost *:{port}>
  ServerName main.test
  SetEnv TARGET other
  SetEnv mod_wsgi.x-secret hidden
  WSGIScriptAlias /served {root}/served.wsgi
  WSGIScriptAlias /aliased {root}/served.wsgi application-group=of-alias callable-object=another
  WSGIDispatchScript {root}/dispatch.py
  <Location /served/restricted>
    WSGIRestrictProcess %{GLOBAL} daemon
  </Location>
  <Location /served/sub>
    WSGIDispatchScript {root}/dispatch.py application-group=dispatchers
  </Location>
  <Location /served/native>
    WSGIPassApacheRequest On
  </Location>
  <Location /served/empty>
    WSGIDispatchScript {root}/empty.py
  </Location>
  <Location /served/gone>
    WSGIDispatchScript {root}/gone.py
  </Location>
  <Location /served/broken>
    WSGIDispatchScript {root}/broken.py
  </Location>
  <Location /served/changing>
    WSGIDispatchScript {root}/changing.py
  </Location>
</VirtualHost>
<VirtualHost *:{port}>
  ServerName elsewhere.test
  WSGIDaemonProcess elsewhere threads=1
</VirtualHost>
"""



@pytest.fixture(scope="module")
def site(door):
    site = Site(door, CONFIG)
    for name, text in (
        ("dispatch.py", PUPPET),
        ("served.wsgi", SERVED),
        ("empty.py", ""),
        ("broken.py", "def process_group(environ)\n    return 'other'\n"),
        ("changing.py", "def callable_object(environ):\n    return 'application'\n"),
    ):
        (site.root / name).write_text(text)
        (site.root / name).chmod(0o644)
    yield from run(site)


def host(site):
    # With the port, of which mod_wsgi makes names of groups.
    return ("Host", f"main.test:{site.port}")


def header(function, expression):
    return (f"X-{function.replace('_', '-').title()}", expression)


@pytest.fixture
def route(site):
    """Where a request went, as [name of the application, process group, application group, callable]."""

    def ask(path="/served", **expressions):
        return site.json(path, [host(site), *(header(*pair) for pair in expressions.items())])

    return ask


@pytest.fixture
def status(site):
    """The status of such a request."""

    def ask(path="/served", **expressions):
        return site.get(path, [host(site), *(header(*pair) for pair in expressions.items())]).status

    return ask


@pytest.fixture
def configured(door, site):
    """Where requests go that no script speaks about."""
    port = "" if site.port in (80, 443) else f":{site.port}"
    return ["application", door.process_group, f"main.test{port}|/served", "application"]


# -- what it may say


@line("ACC-15", "PY-219")
def test_none_keeps_what_is_configured(route, configured):
    assert route() == configured
    assert route(process_group="None", application_group="None", callable_object="None") == configured


@line("ACC-15", "PY-219")
def test_a_script_without_any_function_keeps_what_is_configured(route, configured):
    assert route("/served/empty") == configured


@line("ACC-15", "PY-218")
@pytest.mark.parametrize("expression", ["'other'", "b'other'"])
def test_process_group_takes_the_place_of_the_configured_one(route, configured, expression):
    assert route(process_group=expression)[1] == "other"


@line("ACC-15")
def test_global_is_embedded(route):
    assert route(process_group="'%{GLOBAL}'")[1] == ""


@line("ACC-15", "PY-218")
@pytest.mark.parametrize("expression", ["'mine'", "b'mine'"])
def test_application_group_takes_the_place_of_the_configured_one(route, expression):
    assert route(application_group=expression)[2] == "mine"


@line("PY-218")
def test_callable_object_takes_the_place_of_the_configured_one(route):
    assert route(callable_object="'another'")[::3] == ["another", "another"]


def test_all_three_go_together(route):
    groups = {"process_group": "'other'", "application_group": "'mine'", "callable_object": "b'another'"}
    assert route(**groups) == ["another", "other", "mine", "another"]


def test_options_of_an_alias_give_way(route):
    assert route("/aliased")[2:] == ["of-alias", "another"]
    assert route("/aliased", application_group="'mine'", callable_object="'application'")[2:] == ["mine", "application"]


@line("ACC-15")
@pytest.mark.parametrize(
    ("expression", "group"),
    [("'%{GLOBAL}'", ""), ("'%{SERVER}'", "main.test:{port}"), ("'%{ENV:TARGET}'", "other"), ("'%{HOST}'", "main.test:{port}"),
     ("'a%{SERVER}'", "a%{SERVER}"), ("''", "")],
)  # fmt: skip
def test_macros_are_expanded(route, site, expression, group):
    assert route(application_group=expression)[2] == group.replace("{port}", str(site.port))


def test_a_group_may_come_from_a_variable(route):
    assert route(process_group="'%{ENV:TARGET}'")[1] == "other"


# -- what it may not


@line("ACC-15")
def test_a_group_that_is_not_defined_is_500(status, log):
    log.expect("WSGI015[01]")
    assert status(process_group="'nowhere'") == 500


@line("ACC-16")
def test_a_group_of_another_virtual_host_is_500(status, log):
    log.expect("WSGI0152")
    assert status(process_group="'elsewhere'") == 500


@line("ACC-16")
def test_a_group_that_is_restricted_is_500(status, log):
    assert status("/served/restricted", process_group="'%{GLOBAL}'") == 200
    log.expect("WSGI0149")
    assert status("/served/restricted", process_group="'other'") == 500


@line("ACC-15", "PY-218")
@pytest.mark.parametrize("function", ["process_group", "application_group", "callable_object"])
@pytest.mark.parametrize("expression", ["1", "True", "['other']", "object()", r"'\u4e2d'"])
def test_what_is_no_name_is_500(status, log, function, expression):
    log.expect("WSGI0401|WSGI0174")
    log.allow("WSGI0404|Error|Traceback|File|    |The above exception")
    assert status(**{function: expression}) == 500


@line("ACC-15", "PY-218")
@pytest.mark.parametrize("function", ["process_group", "application_group", "callable_object"])
def test_an_exception_is_500(status, log, function):
    log.expect_exception("LookupError: lost")
    log.allow("WSGI0404")
    assert status(**{function: "raises(LookupError('lost'))"}) == 500


@ours
@line("IMP-25")
def test_a_script_that_cannot_be_compiled_is_500(status, log):
    log.expect_exception("SyntaxError", code="WSGI0105")
    log.expect("WSGI0404", times=2)
    log.allow("WSGI0304")
    assert [status("/served/broken") for _ in range(2)] == [500, 500]


@ours
def test_a_script_that_is_not_there_is_500(status, log):
    log.expect_exception("FileNotFoundError", code="WSGI0105")
    log.expect("WSGI0404")
    log.allow("WSGI0304")
    assert status("/served/gone") == 500


@ours
@embedded_only("processes that a script names are counted in the supervisor's own tests")
def test_names_of_interpreters_that_a_script_makes_up_are_bounded(site, log):
    log.expect("WSGI0307")
    with site.connect() as connection:
        for number in range(70):
            headers = [host(site), header("application_group", f"'made-up-{number}'")]
            if connection.get("/served", headers).status == 503:
                break
        else:
            pytest.fail("70 interpreters were made")
    assert site.get("/served", [host(site)]).status == 200


# -- what it sees


@pytest.fixture
def see(site, log):
    def look(expression, path="/served", headers=()):
        log.expect("told")
        headers = [host(site), *headers, header("process_group", f"tells(environ, {expression})")]
        assert site.get(path, headers).status == 200
        (*_, last) = log.matching("told ")
        return json.loads(bytes.fromhex(last.message.partition("told ")[2]))

    return look


@line("PY-218")
def test_the_environ_is_the_applications_before_its_place_is_known(see):
    keys = "TARGET PATH_INFO SCRIPT_NAME SCRIPT_FILENAME mod_wsgi.process_group mod_wsgi.application_group".split()
    seen = see(f"[environ[key] for key in {keys}]", "/served/sub//x")
    assert seen[:3] == ["other", "/sub/x", "/served"]
    assert seen[3].endswith("/served.wsgi")
    assert seen[4:] == ["", "dispatchers"]


@line("PY-38")
def test_httpds_request_is_passed_where_it_is_switched_on(see):
    seen = "type(environ.get('apache.request_rec')).__name__"
    assert (see(seen), see(seen, "/served/native")) == ("NoneType", "PyCapsule")


def test_the_environ_has_nothing_of_the_call(see):
    seen = see("sorted(environ)")
    assert not [key for key in seen if key.startswith("wsgi.") and key != "wsgi.errors"]
    assert "mod_wsgi.callable_object" not in seen


@ours
def test_internal_variables_are_hidden(see):
    assert not [key for key in see("sorted(environ)") if key.startswith("mod_wsgi.x-")]


def test_credentials_are_shown_as_to_the_application(see):
    assert "HTTP_AUTHORIZATION" not in see("sorted(environ)", headers=[("Authorization", "Basic eDp5")])


@line("ACC-12")
def test_it_runs_in_the_main_interpreter_unless_told_otherwise(see):
    expression = "__import__('mod_wsgi').application_group"
    assert see(expression) == ""
    assert see(expression, "/served/sub") == "dispatchers"


@line("ACC-13")
def test_a_script_that_has_changed_is_asked_anew_by_the_next_request(site, route):
    assert route("/served/changing")[0] == "application"
    path = site.root / "changing.py"
    before = path.stat().st_mtime_ns
    path.write_text("def callable_object(environ):\n    return 'another'\n")
    os.utime(path, ns=(before + 2_000_000_000,) * 2)
    assert route("/served/changing")[0] == "another"


@line("ACC-14", "EXP-13")
def test_it_works_where_embedded_mode_is_restricted(new_site):
    site = new_site("WSGIRestrictEmbedded On\n" + CONFIG)
    for name, text in (("dispatch.py", PUPPET), ("served.wsgi", SERVED)):
        (site.root / name).write_text(text)
    site.start()
    assert site.json("/served", [host(site), header("process_group", "'other'")])[1] == "other"
    site.log.expect("WSGI0143")
    assert site.get("/served", [host(site), header("process_group", "'%{GLOBAL}'")]).status == 500
