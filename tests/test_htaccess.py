"""Directives in .htaccess, in sections, and how they merge."""

import pytest

from harness.checklist import line, ours
from test_directives import FILE_INFO, GLOBAL_ONLY, NOT_IN_HTACCESS, SERVER_AND_HOST

CONFIG = """
<Directory {root}/htdocs>
  AllowOverride FileInfo
  Options ExecCGI
  AddHandler wsgi-script .wsgi
</Directory>
<Directory {root}/htdocs/auth-config>
  AllowOverride AuthConfig
</Directory>
<Directory {root}/htdocs/named-only>
  AllowOverride None
  AllowOverrideList WSGICallableObject
</Directory>
WSGIApplicationGroup %{GLOBAL}
WSGIPassAuthorization On
WSGIScriptAlias /shared {apps}/environ.wsgi
WSGIScriptAlias /which {apps}/environ.wsgi
<Location /shared/off>
  WSGIPassAuthorization Off
</Location>
<Location /shared/off/on>
  WSGIPassAuthorization On
</Location>
<If "%{QUERY_STRING} == 'off'">
  WSGIPassAuthorization Off
</If>
<VirtualHost *:{port}>
  ServerName main.test
</VirtualHost>
<VirtualHost *:{port}>
  ServerName inherits.test
</VirtualHost>
<VirtualHost *:{port}>
  ServerName off.test
  WSGIPassAuthorization Off
  WSGIScriptAlias /which {apps}/named.wsgi
  WSGIScriptAlias /own {apps}/environ.wsgi
</VirtualHost>
"""

AUTHORIZATION = ("Authorization", "Basic dTpw")

NAMED = """
def named(text):
    def application(environ, start_response):
        start_response("200 OK", [])
        return [text]
    return application

application, another = named(b"application"), named(b"another")
"""


@pytest.fixture
def htaccess(site):
    """Writes .htaccess beside a script and requests the script."""
    script = site.root / "htdocs" / "named.wsgi"
    script.write_text(NAMED)
    file = site.root / "htdocs" / ".htaccess"

    def ask(text):
        file.write_text(text)
        return site.get("/named.wsgi")

    yield ask
    file.unlink()


@line("CFG-24")
def test_callable_object_works_in_htaccess(htaccess):
    assert htaccess("").body == b"application"
    assert htaccess("WSGICallableObject another").body == b"another"


@line("CFG-24")
@pytest.mark.parametrize("directive", FILE_INFO)
def test_a_file_info_directive_is_accepted_in_htaccess(htaccess, directive):
    assert htaccess(directive).status == 200


@line("CFG-24")
@pytest.mark.parametrize("directive", [*NOT_IN_HTACCESS, *SERVER_AND_HOST, *GLOBAL_ONLY])
def test_any_other_directive_is_refused_in_htaccess(htaccess, log, directive):
    log.expect(f"{directive.split()[0]} not allowed here")
    assert htaccess(directive).status == 500


@line("CFG-24")
def test_a_wrong_value_in_htaccess_gets_500_and_a_log_line(htaccess, log):
    log.expect("WSGIPassAuthorization must be one of: Off | On")
    assert htaccess("WSGIPassAuthorization maybe").status == 500


@ours
@line("IMP-23")
def test_a_name_of_a_header_that_is_none_gets_500_and_a_log_line_in_htaccess(htaccess, log):
    log.expect("Invalid name of a header: 'X_Foo'")
    assert htaccess("WSGITrustedProxyHeaders X_Foo").status == 500
    assert htaccess("").status == 200


@pytest.fixture
def below(site):
    """Writes the .htaccess of a directory of htdocs with other rights, and requests a script in it."""

    def ask(directory, text):
        directory = site.root / "htdocs" / directory
        directory.mkdir(exist_ok=True)
        (directory / "named.wsgi").write_text(NAMED)
        (directory / ".htaccess").write_text(text)
        return site.get(f"/{directory.name}/named.wsgi")

    return ask


@line("CFG-25")
@pytest.mark.parametrize("directive", FILE_INFO)
def test_allow_override_auth_config_lets_no_file_info_directive_in(below, log, directive):
    assert below("auth-config", "").body == b"application"
    log.expect(f"{directive.split()[0]} not allowed here")
    assert below("auth-config", directive).status == 500


@pytest.mark.parametrize("directive", ["WSGITrustedProxies 0.0.0.0/0", "WSGITrustedProxyHeaders X-Forwarded-For"])
def test_allow_override_list_keeps_trust_in_proxies_out_of_htaccess(below, log, directive):
    assert below("named-only", "WSGICallableObject another").body == b"another"
    log.expect(f"{directive.split()[0]} not allowed here")
    assert below("named-only", directive).status == 500


# -- merging


@pytest.fixture
def passes(site):
    """Whether a request to this host and path has its Authorization passed."""

    def ask(path, host="main.test"):
        values = site.json(path, [("Host", host), AUTHORIZATION])["values"]
        return "HTTP_AUTHORIZATION" in values

    return ask


@line("MRG-01")
def test_a_virtual_host_inherits_what_it_does_not_set(passes):
    assert passes("/shared", "inherits.test")


@line("MRG-01")
def test_off_in_a_virtual_host_beats_on_in_the_main_server(passes):
    assert not passes("/shared", "off.test")


@line("MRG-02")
def test_a_location_beats_the_server(passes):
    assert passes("/shared") and not passes("/shared/off")


@line("MRG-02")
def test_an_inner_location_beats_an_outer_one(passes):
    assert passes("/shared/off/on")


@line("MRG-02")
def test_a_location_of_the_main_server_beats_a_virtual_host(passes):
    assert passes("/shared/off/on", "off.test")


@line("CFG-26")
def test_if_beats_a_location(passes):
    assert passes("/shared/off/on?on") and not passes("/shared/off/on?off")


@line("MRG-06")
@pytest.mark.parametrize("host", ["main.test", "inherits.test", "off.test"])
def test_an_alias_of_the_main_server_works_in_every_virtual_host(site, host):
    assert site.json("/shared", [("Host", host)])["values"]["SCRIPT_NAME"] == "/shared"


@line("MRG-06")
def test_an_alias_of_a_virtual_host_wins_over_that_of_the_main_server(site):
    assert site.get("/which", [("Host", "off.test")]).body == b"named.wsgi"
    assert site.json("/which", [("Host", "main.test")])["values"]["SCRIPT_NAME"] == "/which"


@line("MRG-06")
def test_an_alias_of_a_virtual_host_is_unknown_to_the_others(site):
    assert site.get("/own", [("Host", "off.test")]).status == 200
    assert site.get("/own", [("Host", "main.test")]).status == 404
