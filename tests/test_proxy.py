"""Behind a proxy: what its headers do, which is nothing unless mod_remoteip is told to believe them."""

import pytest

from harness.checklist import line

HTTPD_MODULES = ("remoteip",)

CONFIG = """
WSGIScriptAlias /environ {apps}/environ.wsgi application-group=%{GLOBAL}
<VirtualHost *:{port}>
  ServerName direct.test
</VirtualHost>
<VirtualHost *:{port}>
  ServerName behind-a-proxy.test
  RemoteIPHeader X-Forwarded-For
  RemoteIPInternalProxy 127.0.0.1
</VirtualHost>
"""


@pytest.fixture
def environ(site):
    """The environ of a request with these headers."""
    return lambda headers: site.json("/environ", headers)["values"]


FORWARDED = [
    ("X-Forwarded-For", "192.0.2.7, 198.51.100.8"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Scheme", "https"),
    ("X-Forwarded-SSL", "on"),
    ("X-Forwarded-Host", "forwarded.example"),
    ("X-Forwarded-Port", "8443"),
    ("X-Forwarded-Server", "proxy.example"),
    ("X-Forwarded-Script-Name", "/elsewhere"),
    ("X-Client-IP", "192.0.2.9"),
    ("X-Real-IP", "192.0.2.10"),
]


@line("PRX-01")
def test_headers_of_a_proxy_pass_through_and_change_nothing_else(environ):
    keys = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in FORWARDED}
    host = ("Host", "direct.test")
    plain, forwarded = environ([host]), environ([host, *FORWARDED])
    assert {key: forwarded.get(key) for key in keys} == keys
    said = "REMOTE_ADDR SERVER_NAME SERVER_PORT SCRIPT_NAME PATH_INFO HTTP_HOST REQUEST_SCHEME wsgi.url_scheme".split()
    assert {key: forwarded[key] for key in said} == {key: plain[key] for key in said}
    assert (forwarded["REMOTE_ADDR"], forwarded["wsgi.url_scheme"]) == ("127.0.0.1", "http")
    assert "HTTPS" not in forwarded


@line("PRX-13")
def test_the_address_that_mod_remoteip_found_is_the_remote_address(environ):
    values = environ([("Host", "behind-a-proxy.test"), ("X-Forwarded-For", "192.0.2.7")])
    assert values["REMOTE_ADDR"] == "192.0.2.7"
    values = environ([("Host", "direct.test"), ("X-Forwarded-For", "192.0.2.7")])
    assert values["REMOTE_ADDR"] == "127.0.0.1"
