"""https: what mod_ssl decides shows in the environ."""

import json
import shutil
import socket
import ssl
import subprocess

import pytest

from conftest import run
from harness import http1
from harness.checklist import line, ours
from harness.site import Site

if shutil.which("openssl") is None:
    pytest.skip("the openssl command, which makes the test's certificate, is not installed", allow_module_level=True)


class TlsConnection(http1.Connection):
    def __init__(self, address):
        super().__init__(address)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        self.socket = context.wrap_socket(self.socket)


def make_certificate(directory):
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
         "-addext", "basicConstraints=critical,CA:FALSE",
         "-keyout", directory / "key.pem", "-out", directory / "certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tls(door):
    """A httpd whose only listener speaks TLS."""
    site = Site(
        door,
        "SSLEngine On\nSSLCertificateFile {root}/certificate.pem\nSSLCertificateKeyFile {root}/key.pem\n"
        # Differences between the library mod_ssl was built with and the one it finds are not this test's business.
        "LogLevel ssl:error\n"
        "WSGIScriptAlias /environ {apps}/environ.wsgi application-group=%{GLOBAL}\n"
        "<Location /environ/off>\n  SetEnv HTTPS off\n</Location>\n"
        "<Location /environ/proxied>\n  WSGITrustedProxyHeaders X-Forwarded-Proto\n</Location>\n"
        "<Location /environ/variables>\n  SSLOptions +StdEnvVars\n</Location>\n",
        modules=("ssl", "socache_shmcb"),
    )
    make_certificate(site.root)
    yield from run(site)


def values(tls, path, *headers):
    with TlsConnection(tls.address) as connection:
        response = connection.get(path, [("Host", f"localhost:{tls.port}"), *headers])
    assert response.status == 200
    return json.loads(response.body)["values"]


@line("PY-4", "PRX-11")
def test_the_scheme_is_https_and_https_is_no_key(tls):
    seen = values(tls, "/environ")
    assert (seen["wsgi.url_scheme"], seen["REQUEST_SCHEME"], "HTTPS" in seen) == ("https", "https", False)


def test_no_variable_makes_a_tls_connection_a_plain_one(tls):
    assert values(tls, "/environ/off")["wsgi.url_scheme"] == "https"


@line("PRX-11", "PY-42")
def test_a_trusted_proxys_word_beats_the_connection(tls):
    assert values(tls, "/environ/proxied", ("X-Forwarded-Proto", "http"))["wsgi.url_scheme"] == "http"
    assert values(tls, "/environ/proxied", ("X-Forwarded-Proto", "https"))["wsgi.url_scheme"] == "https"
    assert values(tls, "/environ/proxied")["wsgi.url_scheme"] == "https"


@ours
def test_garbage_from_a_trusted_proxy_does_not_take_tls_away(tls):
    assert values(tls, "/environ/proxied", ("X-Forwarded-Proto", "garbage"))["wsgi.url_scheme"] == "https"


def test_the_variables_of_mod_ssl_are_there_where_they_are_asked_for(tls):
    assert values(tls, "/environ/variables")["SSL_PROTOCOL"].startswith("TLSv1.")
    assert "SSL_PROTOCOL" not in values(tls, "/environ")


def test_a_plain_request_to_a_tls_port_harms_nothing(tls):
    with socket.create_connection(tls.address, 10) as plain:
        plain.sendall(b"GET /environ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"400" in plain.recv(100)
    assert values(tls, "/environ")["wsgi.url_scheme"] == "https"
