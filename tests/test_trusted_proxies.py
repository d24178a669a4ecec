"""WSGITrustedProxies and WSGITrustedProxyHeaders: whose headers are believed, and in what."""

from pathlib import Path

import pytest

from harness import installation
from harness.checklist import line, ours
from harness.httpd import Httpd

HTTPD_MODULES = ("remoteip",)

# mod_remoteip lets a test say from which address it comes; it takes its header away.
PEER = "X-Test-Peer"

ALL = (
    "X-Forwarded-For X-Client-IP X-Real-IP X-Forwarded-Host X-Host X-Forwarded-Server X-Forwarded-Port X-Script-Name "
    "X-Forwarded-Script-Name X-Forwarded-Proto X-Forwarded-Scheme X-Scheme X-Forwarded-HTTPS X-Forwarded-SSL X-HTTPS"
)

TRUSTED = "WSGITrustedProxies 10.0.0.0/8 127.0.0.1 fe80::/10"

MOUNTS = {
    "off": TRUSTED,
    "everybody": "WSGITrustedProxyHeaders X-Forwarded-For",
    "for": f"{TRUSTED}\nWSGITrustedProxyHeaders X-Forwarded-For",
    "client": f"{TRUSTED}\nWSGITrustedProxyHeaders X-Forwarded-For X-Client-IP\nWSGITrustedProxyHeaders X-Real-IP",
    "all": f"{TRUSTED}\nWSGITrustedProxyHeaders {ALL}",
    "https": f"{TRUSTED}\nWSGITrustedProxyHeaders {ALL}\nSetEnv HTTPS on",
    "added": "WSGITrustedProxies 192.0.2.1\nWSGITrustedProxies 192.0.2.2\nWSGITrustedProxyHeaders X-Real-IP",
    "added/inner": "WSGITrustedProxies 192.0.2.3",
    "variable": f"{TRUSTED}\nWSGITrustedProxyHeaders X-Real-IP\nSetEnv HTTP_X_REAL_IP 192.0.2.77",
}

OURS = {
    "forwarded": f"{TRUSTED}\nWSGITrustedProxyHeaders Forwarded",
    "forwarded-and-for": f"{TRUSTED}\nWSGITrustedProxyHeaders X-Forwarded-For Forwarded",
    "forwarded-everybody": "WSGITrustedProxyHeaders Forwarded",
}

CONFIG = f"RemoteIPHeader {PEER}\nRemoteIPInternalProxy 127.0.0.1\n" + "".join(
    f"WSGIScriptAlias /{name} {{apps}}/environ.wsgi application-group=%{{GLOBAL}}\n" for name in (MOUNTS | OURS) if "/" not in name
)
for name, lines in MOUNTS.items():
    CONFIG += f"<Location /{name}>\n{lines}\n</Location>\n"

PROXY, STRANGER = "10.0.0.1", "203.0.113.66"


def config_of_ours():
    return "".join(f"<Location /{name}>\n{lines}\n</Location>\n" for name, lines in OURS.items())


@pytest.fixture
def ask(site):
    """The environ of a request to a mount, from a peer, with headers."""

    def environ(mount, peer, *headers, rest=""):
        sent = [*headers, *([(PEER, peer)] if peer else [])]
        return site.json(f"/{mount}{rest}", sent)["values"]

    return environ


def keys(*names):
    return [f"HTTP_{name.upper().replace('-', '_')}" for name in names]


# -- the client's address


@line("PRX-01")
def test_without_headers_to_believe_in_nothing_changes(ask):
    values = ask("off", PROXY, ("X-Forwarded-For", "192.0.2.9"), ("X-Forwarded-Proto", "https"))
    assert (values["REMOTE_ADDR"], values["wsgi.url_scheme"]) == (PROXY, "http")
    assert values["HTTP_X_FORWARDED_FOR"] == "192.0.2.9"


@line("PRX-02")
@pytest.mark.parametrize("header", ["192.0.2.9, 198.51.100.1", " ,, 192.0.2.9, x", "192.0.2.9"])
def test_without_a_list_of_proxies_the_first_address_counts_and_the_header_stays(ask, header):
    values = ask("everybody", STRANGER, ("X-Forwarded-For", header))
    assert values["REMOTE_ADDR"] == "192.0.2.9"
    assert values["HTTP_X_FORWARDED_FOR"] == header.strip()


@line("PRX-03", "PY-40", "PY-41")
@pytest.mark.parametrize(
    ("header", "client", "left"),
    [
        ("192.0.2.9", "192.0.2.9", "192.0.2.9"),
        ("6.6.6.6, 192.0.2.9", "192.0.2.9", "192.0.2.9"),
        ("6.6.6.6, 192.0.2.9, 10.0.0.2, 10.0.0.3", "192.0.2.9", "192.0.2.9, 10.0.0.2, 10.0.0.3"),
        ("10.0.0.4, 6.6.6.6, 10.0.0.2", "6.6.6.6", "6.6.6.6, 10.0.0.2"),
        ("10.0.0.2, 10.0.0.3", "10.0.0.2", "10.0.0.2, 10.0.0.3"),
        ("192.0.2.9,, ,10.0.0.2,", "192.0.2.9", "192.0.2.9, 10.0.0.2"),
        ("2001:db8::9, fe80::2", "2001:db8::9", "2001:db8::9, fe80::2"),
    ],
)
def test_with_a_list_the_nearest_address_that_is_no_proxy_is_the_client(ask, header, client, left):
    values = ask("for", PROXY, ("X-Forwarded-For", header))
    assert (values["REMOTE_ADDR"], values["HTTP_X_FORWARDED_FOR"]) == (client, left)


@line("PRX-04", "PY-39")
@pytest.mark.parametrize("peer", [STRANGER, "11.0.0.1", "2001:db8::1"])
def test_a_stranger_is_believed_in_nothing(ask, peer):
    headers = [(name, "192.0.2.9") for name in ALL.split()]
    values = ask("all", peer, *headers)
    assert not set(keys(*ALL.split())) & set(values)
    plain = ask("all", peer)
    said = "REMOTE_ADDR SERVER_NAME SERVER_PORT SCRIPT_NAME PATH_INFO HTTP_HOST wsgi.url_scheme".split()
    assert {key: values[key] for key in said} == {key: plain[key] for key in said}
    assert values["REMOTE_ADDR"] == peer and "mod_wsgi.mount_point" not in values


@line("PRX-05")
def test_headers_about_what_no_listed_header_is_about_pass(ask):
    headers = [("X-Forwarded-For", "192.0.2.9"), ("X-Real-IP", "192.0.2.8"), ("X-Forwarded-Proto", "https"), ("X-Host", "a.test")]
    values = ask("for", STRANGER, *headers)
    assert [values.get(key) for key in keys("X-Forwarded-Proto", "X-Host")] == ["https", "a.test"]
    assert not set(keys("X-Forwarded-For", "X-Real-IP")) & set(values)
    assert values["wsgi.url_scheme"] == "http"


@line("PRX-06")
def test_a_proxys_header_that_does_not_count_is_not_shown(ask):
    values = ask("for", PROXY, ("X-Forwarded-For", "192.0.2.9"), ("X-Real-IP", "6.6.6.6"), ("X-Client-IP", "6.6.6.6"))
    assert values["REMOTE_ADDR"] == "192.0.2.9"
    assert not set(keys("X-Real-IP", "X-Client-IP")) & set(values)


@line("PRX-07")
def test_of_several_headers_about_the_client_the_last_one_of_the_list_counts(ask):
    every = [("X-Real-IP", "192.0.2.3"), ("X-Client-IP", "192.0.2.2"), ("X-Forwarded-For", "192.0.2.1")]
    values = ask("client", PROXY, *every)
    assert (values["REMOTE_ADDR"], values["HTTP_X_REAL_IP"]) == ("192.0.2.3", "192.0.2.3")
    assert not set(keys("X-Forwarded-For", "X-Client-IP")) & set(values)
    values = ask("client", PROXY, *every[1:])
    assert (values["REMOTE_ADDR"], values["HTTP_X_CLIENT_IP"]) == ("192.0.2.2", "192.0.2.2")


@line("PRX-12")
@pytest.mark.parametrize(("peer", "is_trusted"), [("fe80::7", True), ("febf::1", True), ("fec0::1", False), ("10.255.0.1", True)])
def test_peers_and_networks_of_both_families(ask, peer, is_trusted):
    values = ask("for", peer, ("X-Forwarded-For", "192.0.2.9"))
    assert values["REMOTE_ADDR"] == ("192.0.2.9" if is_trusted else peer)


@line("PRX-13")
def test_the_peer_is_the_address_that_mod_remoteip_found(ask):
    assert ask("for", None, ("X-Forwarded-For", "192.0.2.9"))["REMOTE_ADDR"] == "192.0.2.9"
    assert ask("for", STRANGER, ("X-Forwarded-For", "192.0.2.9"))["REMOTE_ADDR"] == STRANGER


@line("MRG-03")
def test_lists_of_one_section_add_up_and_an_inner_one_replaces_them(ask):
    def believes(peer, rest=""):
        return ask("added", peer, ("X-Real-IP", "198.51.100.1"), rest=rest)["REMOTE_ADDR"] == "198.51.100.1"

    assert [believes(f"192.0.2.{n}") for n in (1, 2, 3)] == [True, True, False]
    assert [believes(f"192.0.2.{n}", "/inner") for n in (1, 2, 3)] == [False, False, True]


def test_a_variable_of_a_headers_name_stands_in_for_the_header(ask):
    assert ask("variable", PROXY)["REMOTE_ADDR"] == "192.0.2.77"
    assert ask("variable", PROXY, ("X-Real-IP", "192.0.2.9"))["REMOTE_ADDR"] == "192.0.2.9"
    values = ask("variable", STRANGER)
    assert values["REMOTE_ADDR"] == STRANGER and "HTTP_X_REAL_IP" not in values


# -- host, server, port, path


@line("PRX-08", "PY-43")
def test_host_server_and_port_come_from_their_headers(ask):
    headers = [("X-Forwarded-Host", "www.test:8443"), ("X-Forwarded-Server", "front.test"), ("X-Forwarded-Port", "8443")]
    values = ask("all", PROXY, *headers)
    assert [values[key] for key in ("HTTP_HOST", "SERVER_NAME", "SERVER_PORT")] == ["www.test:8443", "front.test", "8443"]
    assert ask("all", PROXY, ("X-Host", "other.test"))["HTTP_HOST"] == "other.test"


@line("PRX-09", "PY-44")
@pytest.mark.parametrize("header", ["X-Script-Name", "X-Forwarded-Script-Name"])
def test_the_script_name_is_the_proxys_mount_point(ask, header):
    values = ask("all", PROXY, (header, "/mounted/here"), rest="/path")
    assert (values["SCRIPT_NAME"], values["PATH_INFO"]) == ("/mounted/here", "/path")
    assert values["mod_wsgi.mount_point"] == "/mounted/here"
    assert (values["mod_wsgi.script_name"], values["mod_wsgi.path_info"]) == ("/all", "/path")
    assert "mod_wsgi.mount_point" not in ask("all", PROXY)


# -- the scheme

WORDS = ("X-Forwarded-Proto", "X-Forwarded-Scheme", "X-Scheme")
SWITCHES = ("X-Forwarded-HTTPS", "X-Forwarded-SSL", "X-HTTPS")


@line("PRX-10")
@pytest.mark.parametrize(
    ("header", "value", "scheme"),
    [(header, value, value.lower()) for header in WORDS for value in ("https", "HTTPS", "http", "Http")]
    + [(header, value, "https") for header in SWITCHES for value in ("On", "on", "true", "TRUE", "1")]
    + [(header, value, "http") for header in SWITCHES for value in ("Off", "off", "false", "0")],
)
def test_each_header_about_the_scheme_decides_it(ask, header, value, scheme):
    # Whatever the connection, or a variable, says.
    for mount in ("all", "https"):
        values = ask(mount, PROXY, (header, value))
        assert values["wsgi.url_scheme"] == scheme
        assert values["REQUEST_SCHEME"] == "http" and "HTTPS" not in values


@pytest.mark.parametrize("header", WORDS + SWITCHES)
def test_a_word_that_is_no_scheme_leaves_it(ask, header):
    assert ask("all", PROXY, (header, "ftp"))["wsgi.url_scheme"] == "http"
    assert ask("https", PROXY, (header, "ftp"))["wsgi.url_scheme"] == "https"


# -- garbage, and what clients try


@ours
@line("IMP-24")
@pytest.mark.parametrize("garbage", ["garbage", "localhost", "www.example.com", "unknown", "1.2.3.400", "1.2.3", "%00", "", "<script>", "_x"])
def test_what_is_no_address_leaves_the_peers_and_is_not_shown(ask, garbage):
    for mount, header in (("for", "X-Forwarded-For"), ("client", "X-Client-IP"), ("client", "X-Real-IP")):
        values = ask(mount, PROXY, (header, garbage))
        assert values["REMOTE_ADDR"] == PROXY
        assert keys(header)[0] not in values
    assert ask("for", PROXY, ("X-Forwarded-For", f"192.0.2.9, {garbage or 'x'}, 10.0.0.2"))["REMOTE_ADDR"] == PROXY


@ours
@line("IMP-24")
def test_the_module_cannot_look_names_up():
    """It does not even know the functions that do: of libc, and of APR, whose addresses may be names."""
    library = Path(installation.WSGI_MODULE).read_bytes()
    for function in ("getaddrinfo", "gethostbyname", "apr_sockaddr_info_get", "apr_ipsubnet_create"):
        assert f"\0{function}\0".encode() not in library
    assert b"\0apr_stat\0" in library


@ours
@pytest.mark.parametrize(
    ("header", "client"),
    [("192.0.2.9:4711", "192.0.2.9"), ("[2001:db8::9]:4711", "2001:db8::9"), ("[2001:DB8::9]", "2001:DB8::9"),
     ("192.0.2.9:1, 10.0.0.2:80, [fe80::1]:80", "192.0.2.9")],
)  # fmt: skip
def test_ports_and_brackets_are_no_part_of_an_address(ask, header, client):
    assert ask("for", PROXY, ("X-Forwarded-For", header))["REMOTE_ADDR"] == client


@ours
@pytest.mark.parametrize(
    ("name", "value"),
    [("X-Forwarded-Host", "a b"), ("X-Forwarded-Host", "a.test/evil"), ("X-Host", "<script>"), ("X-Host", ""),
     ("X-Forwarded-Server", "a.test:80"), ("X-Forwarded-Port", "http"), ("X-Forwarded-Port", "0"),
     ("X-Forwarded-Port", "65536"), ("X-Script-Name", "mount"), ("X-Script-Name", "/evil, /mount")],
)  # fmt: skip
def test_what_is_no_host_port_or_path_changes_nothing_and_is_not_shown(ask, name, value):
    plain, values = ask("all", PROXY), ask("all", PROXY, (name, value))
    said = ("HTTP_HOST", "SERVER_NAME", "SERVER_PORT", "SCRIPT_NAME")
    assert {key: values[key] for key in said} == {key: plain[key] for key in said}
    assert keys(name)[0] not in values


@ours
def test_of_a_list_of_hosts_or_schemes_the_nearest_proxys_word_counts(ask):
    values = ask("all", PROXY, ("X-Forwarded-Host", "evil.test, www.test"), ("X-Forwarded-Proto", "https, http"))
    assert (values["HTTP_HOST"], values["wsgi.url_scheme"]) == ("www.test", "http")


def test_a_header_with_another_spelling_is_no_way_around(ask):
    spellings = [("X_Forwarded_For", "6.6.6.6"), ("X.Forwarded.For", "6.6.6.6"), ("x-FORWARDED-for", "6.6.6.6"), ("X_Real_IP", "6.6.6.6")]
    values = ask("for", STRANGER, *spellings)
    assert values["REMOTE_ADDR"] == STRANGER
    assert "6.6.6.6" not in [value for key, value in values.items() if key.startswith("HTTP_")]


def test_what_a_client_prepends_to_his_proxys_list_does_not_count(ask):
    values = ask("for", PROXY, ("X-Forwarded-For", "127.0.0.1, 10.0.0.9"), ("X-Forwarded-For", "203.0.113.66"))
    assert (values["REMOTE_ADDR"], values["HTTP_X_FORWARDED_FOR"]) == (STRANGER, STRANGER)


# -- Forwarded (RFC 7239)

@pytest.fixture
def forwarded(new_site):
    """Asks a site of its own, since mod_wsgi takes nothing from this header."""
    site = new_site(CONFIG + config_of_ours(), modules=HTTPD_MODULES).start()

    def environ(peer, header, *more, mount="forwarded"):
        return site.json(f"/{mount}", [("Forwarded", header), (PEER, peer), *more])["values"]

    return environ


@ours
def test_forwarded_says_client_host_and_scheme(forwarded):
    values = forwarded(PROXY, "for=192.0.2.43;proto=https;by=203.0.113.43;host=www.test:8443")
    said = ("REMOTE_ADDR", "wsgi.url_scheme", "HTTP_HOST")
    assert [values[key] for key in said] == ["192.0.2.43", "https", "www.test:8443"]
    values = forwarded(PROXY, 'For="[2001:db8:cafe::17]:4711"; Proto=HTTP')
    assert (values["REMOTE_ADDR"], values["wsgi.url_scheme"]) == ("2001:db8:cafe::17", "http")

    # What the client prepended is not believed, and not shown.
    header = "for=6.6.6.6;host=evil.test;proto=https, for=192.0.2.9;host=www.test, for=10.0.0.2;proto=http"
    values = forwarded(PROXY, header, ("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-Host", "evil.test"))
    assert [values[key] for key in said] == ["192.0.2.9", "http", "www.test"]
    assert values["HTTP_FORWARDED"] == "for=192.0.2.9;host=www.test, for=10.0.0.2;proto=http"
    assert not set(keys("X-Forwarded-For", "X-Forwarded-Host")) & set(values)

    # Obfuscated identifiers and `unknown` are clients without an address.
    for client in ("_hidden", "unknown", '"_SEVKISEK:_1"'):
        values = forwarded(PROXY, f"for=6.6.6.6, for={client};proto=https, for=10.0.0.2")
        assert (values["REMOTE_ADDR"], values["wsgi.url_scheme"]) == (PROXY, "https")

    # Whoever breaks the syntax takes it all away.
    for malformed in ('for="6.6.6.6, for=192.0.2.9;proto=https', "for=1.1.1.1;for=192.0.2.9", "for", "for=192.0.2.9 proto=https"):
        values = forwarded(PROXY, malformed)
        assert (values["REMOTE_ADDR"], values["wsgi.url_scheme"]) == (PROXY, "http")
        assert "HTTP_FORWARDED" not in values

    values = forwarded(STRANGER, "for=192.0.2.9;proto=https;host=evil.test")
    assert (values["REMOTE_ADDR"], values["wsgi.url_scheme"]) == (STRANGER, "http")
    assert "HTTP_FORWARDED" not in values and values["HTTP_HOST"] != "evil.test"

    values = forwarded(STRANGER, "for=192.0.2.9;host=a.test, for=192.0.2.10;host=b.test", mount="forwarded-everybody")
    assert (values["REMOTE_ADDR"], values["HTTP_HOST"]) == ("192.0.2.9", "a.test")

    # The last header of the list counts, if it says anything.
    both = {"mount": "forwarded-and-for"}
    assert forwarded(PROXY, "for=192.0.2.1", ("X-Forwarded-For", "192.0.2.2"), **both)["REMOTE_ADDR"] == "192.0.2.1"
    values = forwarded(PROXY, "host=www.test", ("X-Forwarded-For", "192.0.2.2"), **both)
    assert (values["REMOTE_ADDR"], values["HTTP_HOST"]) == ("192.0.2.2", "www.test")


@ours
def test_a_header_that_is_not_listed_is_a_way_around_for_nobody(ask):
    values = ask("for", PROXY, ("Forwarded", "for=6.6.6.6"))
    assert values["REMOTE_ADDR"] == PROXY and "HTTP_FORWARDED" not in values


# -- configtest


@pytest.fixture(scope="module")
def bench():
    httpd = Httpd(python_home=None)
    yield httpd
    httpd.discard()


@line("CFG-32")
def test_addresses_networks_and_beginnings_of_addresses_are_accepted(bench):
    result = bench.configtest("WSGITrustedProxies 1.2.3.4 10.0.0.0/8 ::1 fe80::/10 10.0 172.16.0.0/255.240.0.0\n")
    assert result.returncode == 0, result.stderr


@line("CFG-32")
@pytest.mark.parametrize("address", ["host", "1.2.3.400", "example.com", "10.0.0.0/33", "::1/129"])
def test_what_is_no_address_is_refused(bench, address):
    result = bench.configtest(f"WSGITrustedProxies 10.0.0.1 {address}\n")
    assert result.returncode != 0
    assert f'Unable to parse trusted proxy IP address/subnet of "{address}"' in " ".join(result.stderr.split())


@ours
def test_ipv6_is_accepted_in_any_case(bench):
    result = bench.configtest("WSGITrustedProxies 2001:DB8::/32 FE80::1\n")
    assert result.returncode == 0 and "WSGI0" not in result.stderr, result.stderr


@ours
@line("IMP-23")
@pytest.mark.parametrize("name", ["X_Foo", "X-Real-IP,X-Host", "X.Y", '""', "X-R\u00e9al"])
def test_what_is_no_name_of_a_header_is_refused(bench, name):
    result = bench.configtest(f"WSGITrustedProxyHeaders X-Real-IP {name}\n")
    assert result.returncode != 0
    message = " ".join(result.stderr.split())
    assert "Invalid name of a header" in message and "WSGITrustedProxyHeaders" in message and "Syntax error on line" in message


@ours
def test_a_name_that_does_nothing_is_named_at_configtest(bench):
    result = bench.configtest("WSGITrustedProxyHeaders X-Real-IP X-Forwarded-Prefix\n")
    assert result.returncode == 0
    (remark,) = [row for row in result.stderr.splitlines() if "WSGI0" in row]
    assert "WSGI0430" in remark and "'X-Forwarded-Prefix'" in remark and "X-Script-Name" in remark


def test_a_name_that_does_nothing_is_accepted(bench):
    assert bench.configtest("WSGITrustedProxyHeaders X-Real-IP X-Nothing\n").returncode == 0
