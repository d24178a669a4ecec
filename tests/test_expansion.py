"""Names of application groups and callables: defaults, macros, and what shares an interpreter."""

import pytest

from harness.checklist import line, ours

HTTPD_MODULES = ("unique_id",)
# Names that are literal on purpose.
ALLOWED_AT_START = "WSGI0435"
ENVIRONMENT = {"OF_THE_PROCESS": "process-group-name"}

CONFIG = """
WSGIScriptAlias /default {apps}/environ.wsgi
WSGIScriptAlias /server {apps}/environ.wsgi application-group=%{SERVER}
WSGIScriptAlias /host {apps}/environ.wsgi application-group=%{HOST}
WSGIScriptAlias /global {apps}/environ.wsgi application-group=%{GLOBAL}
WSGIScriptAlias /resource {apps}/environ.wsgi application-group=%{RESOURCE}
WSGIScriptAlias /literal {apps}/environ.wsgi application-group=x%{SERVER}
WSGIScriptAlias /unknown {apps}/environ.wsgi application-group=%{NONE}
WSGIScriptAlias /env {apps}/environ.wsgi application-group=%{ENV:GROUP}
WSGIScriptAlias /process {apps}/environ.wsgi application-group=%{ENV:OF_THE_PROCESS}
WSGIScriptAlias /unset {apps}/environ.wsgi application-group=%{ENV:NOT_SET}
WSGIScriptAlias /shared {apps}/environ.wsgi application-group=shared
WSGIScriptAlias /directive {apps}/environ.wsgi
WSGIScriptAlias /callable {apps}/callables.wsgi application-group=callables
SetEnv GROUP from-setenv
<Location /env/again>
  SetEnv GROUP %{SERVER}
</Location>
<Location /env/global>
  SetEnv GROUP %{GLOBAL}
</Location>
<Location /directive>
  WSGIApplicationGroup by-directive
</Location>
<Location /callable/env>
  SetEnv NAME another
  WSGICallableObject %{ENV:NAME}
</Location>
<Location /callable/unset>
  WSGICallableObject %{ENV:NOT_SET}
</Location>
<Location /callable/macro>
  WSGICallableObject %{SERVER}
</Location>
RewriteEngine On
RewriteRule ^/env/rewritten - [E=GROUP:from-rewrite]
<VirtualHost *:{port}>
  ServerName named.test
  ServerAlias *.test
  RewriteEngine On
  RewriteOptions Inherit
</VirtualHost>
"""


@pytest.fixture
def group(site):
    """The application group in which a URL is served, as environ and the mod_wsgi module say it."""

    def ask(target, host="named.test"):
        values = site.json(target, [("Host", f"{host}:{site.port}")])["values"]
        return values["mod_wsgi.application_group"]

    return ask


@line("EXP-01", "PY-196")
@pytest.mark.parametrize("mount", ["/default", "/resource"])
def test_the_default_group_is_server_port_and_mount(site, group, mount):
    assert group(f"{mount}/x") == f"named.test:{site.port}|{mount}"


@line("EXP-02", "PY-197")
def test_server_is_the_servers_name_and_port(site, group):
    assert group("/server") == f"named.test:{site.port}"
    assert group("/server", "alias.test") == f"named.test:{site.port}"


@line("EXP-02", "PY-197")
def test_host_is_the_host_that_was_asked_for(site, group):
    assert group("/host", "alias.test") == f"alias.test:{site.port}"


@line("EXP-02", "EXP-09", "PY-197")
def test_global_is_the_main_interpreter_with_an_empty_name(group):
    assert group("/global") == ""


@line("EXP-03")
def test_env_is_looked_up_in_setenv_rewrite_rules_and_the_process(group):
    assert group("/env") == "from-setenv"
    assert group("/env/rewritten") == "from-rewrite"
    assert group("/process") == "process-group-name"


@line("EXP-04")
def test_a_macro_found_by_env_is_expanded_again(site, group):
    assert group("/env/again") == f"named.test:{site.port}"
    assert group("/env/global") == ""


def test_an_env_that_is_not_set_stays_as_it_is(group):
    assert group("/unset") == "%{ENV:NOT_SET}"


@line("EXP-05")
def test_a_process_group_that_is_not_configured_gets_500(new_site):
    site = new_site("WSGIScriptAlias /no-group {apps}/environ.wsgi\nWSGIProcessGroup none\n").start()
    site.log.allow("WSGI0327.*'none'")
    site.log.expect("WSGI015[01].*No WSGI daemon process called|WSGI015[01].*'none'")
    assert site.get("/no-group").status == 500


@line("EXP-06")
def test_a_macro_within_a_name_is_literal(group):
    assert group("/literal") == "x%{SERVER}"
    assert group("/unknown") == "%{NONE}"


def test_the_directive_names_the_group_where_the_alias_does_not(group):
    assert group("/directive") == "by-directive"


@line("EXP-07")
def test_callable_object_takes_env_and_no_other_macro(site):
    assert site.get("/callable/env").body == b"another"
    assert site.get("/callable/unset").body == b"application"
    assert site.get("/callable/macro").body == b"application"


# -- what an interpreter is

COUNT = """
import sys
sys.count_of_the_interpreter = getattr(sys, "count_of_the_interpreter", 0) + 1

def application(environ, start_response):
    start_response("200 OK", [])
    return [str(sys.count_of_the_interpreter).encode()]
"""


@line("EXP-08", "PY-198")
def test_scripts_of_one_group_share_sys_modules_and_other_groups_do_not(site):
    first, second = site.script(COUNT, "sub"), site.script(COUNT, "sub")
    assert (first.get().body, second.get().body, first.get().body) == (b"1", b"2", b"2")
    assert site.script(COUNT, "main").get().body == b"1"


@pytest.mark.parametrize("mount", ["main", "sub"])
@line("PY-200")
def test_sys_argv_is_mod_wsgi(site, mount):
    def application(environ, start_response):
        import sys

        start_response("200 OK", [])
        return [repr(sys.argv).encode()]

    assert site.serve(application, mount).get().body == b"['mod_wsgi']"


@pytest.mark.parametrize("mount", ["main", "sub"])
@line("PY-201")
def test_python_home_is_the_venv_whose_packages_can_be_imported(site, mount):
    from harness.installation import PYTHON_HOME

    def application(environ, start_response):
        import sys

        import flask

        start_response("200 OK", [])
        return [f"{sys.prefix} {flask.__file__}".encode()]

    prefix, file = site.serve(application, mount).get().text.split()
    assert prefix == str(PYTHON_HOME) and file.startswith(prefix)


@line("PY-199")
@pytest.mark.parametrize("mount", ["main", "sub"])
def test_thread_local_data_persists_across_the_requests_of_a_thread(site, mount):
    app = site.script(
        "import threading\nlocal = threading.local()\n"
        "def application(e, s):\n"
        "    local.count = getattr(local, 'count', 0) + 1\n"
        "    s('200 OK', [])\n    return [f'{threading.get_ident()} {local.count}'.encode()]\n",
        mount,
    )
    seen = {}
    for _ in range(60):
        thread, count = app.get().text.split()
        seen.setdefault(thread, []).append(int(count))
    assert max(map(len, seen.values())) > 1
    assert all(counts == list(range(1, len(counts) + 1)) for counts in seen.values())


@ours
@line("IMP-21")
def test_ports_in_host_headers_do_not_create_interpreters(site, log):
    with site.connect() as connection:
        groups = set()
        for number in range(1000):
            body = connection.get("/default", [("Host", f"named.test:{1 + number * 37 % 65535}")]).body
            groups.add(body.split(b'"mod_wsgi.application_group": ')[1].split(b",")[0])
    assert len(groups) == 1
    assert len(log.matching("[Cc]reat.* sub-interpreter 'named.test:[0-9]+\\|/default'")) <= 1


@pytest.fixture
def most(door):
    """How many names a client may choose, each of which costs an interpreter or, in a group, processes."""
    return 16 if door.is_daemon else 64


@pytest.fixture
def refusal(door, most):
    """What is logged for each request with a further name."""
    if door.is_daemon:
        return f"WSGI0370.*chosen by a client, and {most} such application groups have processes.*answering 503"
    return f"WSGI0307.*that a client chose, and {most} such groups.*answering 503"


@ours
@line("IMP-21")
def test_names_in_host_headers_create_so_many_interpreters_and_no_more_and_the_others_go_on(new_site, most, refusal):
    site = new_site("WSGIScriptAlias /host {apps}/named.wsgi application-group=%{HOST}\n").start()
    main = site.script(COUNT, "main")
    assert main.get().body == b"1"
    site.log.expect(refusal, times=6)
    site.log.allow("WSGI0316")

    def statuses(numbers):
        return [site.get("/host", [("Host", f"{number}.test")]).status for number in numbers]

    assert statuses(range(most)) == [200] * most
    assert statuses(range(most, most + 6)) == [503] * 6
    assert statuses([0, most - 1]) == [200, 200]
    assert main.get().body == b"1"
    assert len(site.log.matching(refusal)) == 6


@ours
@line("IMP-21")
def test_a_configured_group_is_served_when_clients_have_used_up_theirs(new_site, most, refusal):
    site = new_site(
        "WSGIScriptAlias /host {apps}/named.wsgi application-group=%{HOST}\n"
        "WSGIScriptAlias /configured {apps}/named.wsgi application-group=configured\n"
        "WSGIScriptAlias /server {apps}/named.wsgi application-group=%{SERVER}\n"
    ).start()
    for number in range(most):
        assert site.get("/host", [("Host", f"{number}.test")]).status == 200
    site.log.expect(refusal)
    site.log.allow("WSGI0316")
    assert site.get("/host", [("Host", "one-more.test")]).status == 503
    assert [site.get(path).status for path in ("/configured", "/server")] == [200, 200]
    assert site.script(COUNT, "sub").get().body == b"1"
