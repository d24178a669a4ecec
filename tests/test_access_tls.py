"""https: what mod_ssl knows is told to scripts that are asked about a request."""

import pytest

from conftest import run
from harness import installation
from harness.access import Guarded, answer, location
from harness.checklist import line, ours, ours_in_daemon
from test_tls import TlsConnection, make_certificate

pytestmark = ours_in_daemon


@pytest.fixture(scope="module")
def tls(door):
    """A httpd whose only listener speaks TLS, with a script that is asked about everything."""
    site = Guarded(
        door,
        "SSLEngine On\nSSLCertificateFile {root}/certificate.pem\nSSLCertificateKeyFile {root}/key.pem\n"
        # Differences between the library mod_ssl was built with and the one it finds are not this test's business.
        "LogLevel ssl:error\n"
        + location("/access", "WSGIAccessScript {puppet} {door}")
        # Only this module has the option.
        + (location("/kept", "WSGIAccessScript {puppet} {door} cache=60") if installation.IS_OURS else ""),
        modules=("ssl", "socache_shmcb"),
    )
    make_certificate(site.root)
    for area in ("access", "kept"):
        site.page(f"{area}/page.html", "guarded")
    yield from run(site)


def see(tls, expression):
    tls.log.begin()
    tls.log.expect("told")
    with TlsConnection(tls.address) as connection:
        headers = [("Host", f"localhost:{tls.port}"), answer(f"tells(environ, {expression}) or True")]
        assert connection.get("/access/page.html", headers).status == 200
    seen = tls.told()
    tls.log.verify()
    return seen


@line("ACC-10", "PY-217")
def test_is_https_is_1(tls):
    assert see(tls, "environ['mod_ssl.is_https']()") == 1


@line("ACC-10", "PY-217")
@pytest.mark.parametrize("name", ["'SSL_PROTOCOL'", "b'SSL_PROTOCOL'"])
def test_var_lookup_gives_a_variable_of_mod_ssl(tls, name):
    assert see(tls, f"environ['mod_ssl.var_lookup']({name})").startswith("TLSv1")


def test_several_variables_are_told_apart(tls):
    names = ["SSL_PROTOCOL", "SSL_SERVER_S_DN_CN", "SSL_CLIENT_VERIFY"]
    seen = see(tls, f"[environ['mod_ssl.var_lookup'](name) for name in {names}]")
    assert seen[0].startswith("TLSv1") and seen[1:] == ["localhost", "NONE"]


def test_a_variable_that_nobody_knows_is_empty_or_none(tls):
    assert not see(tls, "environ['mod_ssl.var_lookup']('NO_SUCH_VARIABLE')")


@ours
def test_an_answer_for_which_the_connection_was_looked_at_is_not_kept(tls):
    tls.log.begin()
    tls.log.allow("asked$")

    def asked(expression):
        before = len(tls.log.matching("asked$"))
        with TlsConnection(tls.address) as connection:
            headers = [("Host", f"localhost:{tls.port}"), answer(f"says('asked') or {expression}")]
            assert connection.get("/kept/page.html", headers).status == 200
        return len(tls.log.matching("asked$")) - before

    assert [asked("environ['mod_ssl.is_https']() == 1") for _ in range(2)] == [1, 0]
    # Another client may have another certificate, or none.
    assert [asked("environ['mod_ssl.var_lookup']('SSL_CLIENT_VERIFY') == 'NONE'") for _ in range(2)] == [1, 1]
    tls.log.verify()
