"""`WSGIAuthUserScript`: the provider `wsgi` of basic, digest and form authentication."""

import os
from urllib.parse import urlencode

import pytest

from conftest import run
from harness.access import BASIC, Guarded, answer, basic, digest, location, realm_hash
from harness.checklist import line, ours, ours_in_daemon

# mod_wsgi asks inside httpd only.
pytestmark = ours_in_daemon

LOGIN = ("AuthType Basic", "AuthName realm", "Require valid-user")
DIGEST = ("AuthType Digest", "AuthName realm", "AuthDigestProvider wsgi", "Require valid-user")
USERS = "WSGIAuthUserScript {puppet} {door}"

CONFIG = (
    location("/basic", *BASIC, USERS)
    + location("/first", *LOGIN, "AuthBasicProvider wsgi file", "AuthUserFile {root}/users", USERS)
    + "<AuthnProviderAlias wsgi known>\n  WSGIAuthUserScript {known} {door}\n</AuthnProviderAlias>\n"
    + location("/alias", *LOGIN, "AuthBasicProvider known")
    + location("/aliases", *LOGIN, "AuthBasicProvider wsgi known", USERS)
    + location("/no-script", *BASIC)
    + location("/missing", *BASIC, "WSGIAuthUserScript {root}/empty.py {door}")
    + location("/gone", *BASIC, "WSGIAuthUserScript {root}/gone.py {door}")
    + location("/changing", *BASIC, "WSGIAuthUserScript {root}/changing.py {door}")
    + location("/digest", *DIGEST, USERS)
    + location("/digest-missing", *DIGEST, "WSGIAuthUserScript {root}/empty.py {door}")
    + location("/digest-no-script", *DIGEST)
    + location(
        "/form", "AuthType form", "AuthName realm", "AuthFormProvider wsgi", "Session On",
        "SessionCookieName session path=/", "WSGIAuthUserScript {known} {door}", "Require valid-user",
    )  # fmt: skip
    + location("/proxied", *BASIC, "WSGIAuthUserScript {known} {door}", "ProxyPass http://127.0.0.1:{port}/open.html")
    + location("/guards", *BASIC, USERS + " application-group=guards")
    + "WSGIScriptAlias /basic/app {apps}/environ.wsgi application-group=%{GLOBAL}\n"
    + "WSGIScriptAlias /digest/app {apps}/environ.wsgi application-group=%{GLOBAL}\n"
    + "WSGIScriptAlias /form {apps}/environ.wsgi application-group=%{GLOBAL}\n"
    + "WSGIScriptAlias /alias/app {apps}/environ.wsgi application-group=%{GLOBAL}\n"
)

# What httpd's own modules say of a wrong password, an unknown user, and a provider that failed.
WRONG, UNKNOWN, WITHOUT_USER = "AH01617", "AH01618", "AH01614"


@pytest.fixture(scope="module")
def site(door):
    site = Guarded(door, "Protocols h2c http/1.1\n" + CONFIG, modules=("http2",))
    for area in ("basic", "first", "alias", "aliases", "no-script", "missing", "gone", "changing", "digest",
                 "digest-missing", "digest-no-script", "guards"):  # fmt: skip
        site.page(f"{area}/page.html", "guarded")
    site.page("open.html", "guarded")
    # Made by `htpasswd -bns filed secret`.
    site.write("users", "filed:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    site.write("empty.py", "")
    yield from run(site)


@pytest.fixture
def ask(site):
    """The status of a page, when the script that is asked about the password does this."""
    return lambda expression, path="/basic/page.html": site.get(path, [answer(expression), basic()]).status


# -- basic: results


@line("ACC-01", "PY-211")
def test_true_grants(ask):
    assert ask("True") == 200


@line("ACC-01", "PY-211")
def test_false_denies(ask, log):
    log.expect(WRONG)
    assert ask("False") == 401


@line("ACC-01", "PY-211")
def test_none_is_an_unknown_user(ask, log):
    log.expect(UNKNOWN)
    assert ask("None") == 401


@line("ACC-01", "PY-211")
def test_a_str_grants_as_the_user_of_that_name(site):
    values = site.json("/basic/app", [answer("'another'"), basic()])["values"]
    assert (values["REMOTE_USER"], values["AUTH_TYPE"]) == ("another", "Basic")
    assert site.json("/basic/app", [answer("True"), basic()])["values"]["REMOTE_USER"] == "me"


def test_the_name_of_a_user_is_utf_8(site):
    values = site.json("/basic/app", [answer(r"'Zo\xeb'"), basic()])["values"]
    assert values["REMOTE_USER"].encode("latin-1").decode() == "Zoë"


@line("ACC-02", "PY-212")
def test_an_empty_str_is_500(ask, log):
    log.expect("WSGI0176")
    log.allow(WRONG)
    assert ask("''") == 500


@line("ACC-02", "PY-212")
@pytest.mark.parametrize("expression", ["1", "0", "b'me'", "[]", "('me',)", "object()", "NotImplemented"])
def test_any_other_type_is_500(ask, log, expression):
    log.expect("WSGI0177")
    log.allow(WRONG)
    assert ask(expression) == 500


@ours
@pytest.mark.parametrize("name", [r"'root\0'", r"'\udc80'"])
def test_a_name_with_a_nul_or_a_lone_surrogate_is_no_name(ask, log, name):
    log.expect("WSGI0177")
    log.allow(WRONG)
    assert ask(name) == 500


@line("ACC-02", "PY-212")
def test_an_exception_is_500(ask, log):
    log.expect_exception("ValueError: no")
    log.allow(WRONG)
    assert ask("raises(ValueError('no'))") == 500


def test_an_exit_is_500_and_ends_nothing(ask, log):
    log.expect_exception("SystemExit", code="WSGI0175")
    log.allow(WRONG)
    assert ask("raises(SystemExit(1))") == 500
    assert ask("True") == 200


def test_a_script_without_the_function_is_500(ask, log):
    log.expect("WSGI0043")
    log.allow(WRONG)
    assert ask("True", "/missing/page.html") == 500


def test_a_script_that_cannot_be_loaded_is_500(ask, log):
    log.expect_exception("FileNotFoundError", code="WSGI0105")
    log.allow("WSGI0304")
    log.allow(WRONG)
    assert ask("True", "/gone/page.html") == 500


def test_the_provider_without_a_script_is_500(ask, log):
    log.expect("WSGI0041")
    log.allow(WRONG)
    assert ask("True", "/no-script/page.html") == 500


# -- basic: arguments


def test_user_and_password_come_as_latin_1_strings(site, log):
    log.expect("told")
    site.get("/basic/page.html", [answer("tells(environ, arguments) or True"), basic("zoë", "geheim: ü")])
    assert site.told() == ["zoë".encode().decode("latin-1"), "geheim: ü".encode().decode("latin-1")]


def test_no_password_asks_nothing(site):
    response = site.get("/basic/page.html", [answer("raises(ValueError('asked'))")])
    assert (response.status, response.header("WWW-Authenticate")) == (401, 'Basic realm="realm"')


@line("ACC-10", "PY-217")
def test_the_environ_has_no_credentials(site, log):
    log.expect("told")
    site.get("/basic/page.html", [answer("tells(environ, sorted(environ)) or True"), basic()])
    seen = site.told()
    assert not [key for key in seen if "AUTH" in key or "REMOTE_USER" in key]
    assert {"wsgi.errors", "mod_ssl.is_https", "mod_ssl.var_lookup"} <= set(seen)


def test_a_password_is_in_no_log(site, log):
    log.expect_exception("ValueError")
    log.expect("WSGI0177")
    log.allow("AH0")
    password = "pass-that-nobody-may-read"
    for expression in ("raises(ValueError('no'))", "1", "False", "None", "True"):
        site.get("/basic/page.html", [answer(expression), basic("me", password)])
    # Python quotes the line of the script in a traceback, never its arguments.
    assert password not in log.path.read_text(errors="replace")


# -- several providers


@line("ACC-03")
def test_none_lets_the_next_provider_speak(site, log):
    unknown = [answer("None"), basic("filed", "secret")]
    assert site.get("/first/page.html", unknown).status == 200
    log.expect(WRONG)
    assert site.get("/first/page.html", [answer("False"), basic("filed", "secret")]).status == 401


@line("ACC-04")
def test_an_alias_of_the_provider_has_a_script_of_its_own(site, log):
    assert site.get("/alias/page.html", [basic()]).status == 200
    log.expect(WRONG)
    assert site.get("/alias/page.html", [basic(password="wrong")]).status == 401
    assert site.json("/alias/app", [basic()])["values"]["REMOTE_USER"] == "me"


@line("ACC-04")
def test_the_provider_and_its_alias_are_asked_one_after_the_other(site):
    assert site.get("/aliases/page.html", [answer("None"), basic()]).status == 200
    assert site.get("/aliases/page.html", [answer("True"), basic("other", "any")]).status == 200


# -- digest


def hashes(expression=f"'{realm_hash()}'"):
    return [answer(expression)]


@line("ACC-05", "PY-213")
@pytest.mark.parametrize("form", ["'{}'", "b'{}'"])
def test_digest_takes_a_hash_as_str_or_bytes(site, form):
    response = digest(site, "/digest/app", hashes(form.format(realm_hash())))
    assert response.status == 200
    assert b'"REMOTE_USER": "me"' in response.body and b'"AUTH_TYPE": "Digest"' in response.body


@line("ACC-05", "PY-213")
def test_digest_of_a_wrong_password_is_401(site, log):
    log.allow("AH017")
    assert digest(site, "/digest/page.html", hashes(), password="wrong").status == 401


@line("ACC-05", "PY-213")
def test_digest_of_an_unknown_user_is_401(site, log):
    log.allow("AH017")
    assert digest(site, "/digest/page.html", hashes("None")).status == 401


def test_digest_asks_for_user_and_realm(site, log):
    log.expect("told")
    expression = f"tells(environ, arguments) or '{realm_hash()}'"
    assert digest(site, "/digest/page.html", hashes(expression)).status == 200
    assert site.told() == ["me", "realm"]


@line("ACC-05")
@pytest.mark.parametrize(
    ("expression", "code"),
    [("''", "WSGI0178"), ("b''", "WSGI0178"), ("1", "WSGI0179"), ("True", "WSGI0179"), ("False", "WSGI0179"),
     ("[]", "WSGI0179")],
)  # fmt: skip
def test_a_hash_that_is_none_is_500(site, log, expression, code):
    log.expect(code)
    log.allow("AH017")
    assert digest(site, "/digest/page.html", hashes(expression)).status == 500


def test_an_exception_for_a_hash_is_500(site, log):
    log.expect_exception("KeyError: 'me'")
    log.allow("AH017")
    assert digest(site, "/digest/page.html", hashes("raises(KeyError('me'))")).status == 500


def test_a_script_without_the_function_for_hashes_is_500(site, log):
    log.expect("WSGI0046")
    log.allow("AH017")
    assert digest(site, "/digest-missing/page.html").status == 500


def test_digest_without_a_script_is_500(site, log):
    log.expect("WSGI0044")
    log.allow("AH017")
    assert digest(site, "/digest-no-script/page.html").status == 500


# -- form


def post_form(site, user, password):
    body = urlencode({"httpd_username": user, "httpd_password": password}).encode()
    headers = [("Content-Type", "application/x-www-form-urlencoded")]
    return site.request("POST", "/form", headers, body)


def test_a_form_logs_in_and_its_session_stays(site):
    response = post_form(site, "me", "secret")
    assert response.status == 200
    assert b'"REMOTE_USER": "me"' in response.body
    cookie = response.all("Set-Cookie")[-1].partition(";")[0]
    assert site.json("/form", [("Cookie", cookie)])["values"]["REMOTE_USER"] == "me"


def test_a_form_with_a_wrong_password_does_not_log_in(site, log):
    log.allow("AH01807|AH0180")
    assert post_form(site, "me", "wrong").status == 401
    assert post_form(site, "nobody", "secret").status == 401


# -- what is guarded, where, and since when


@line("ACC-11")
def test_it_guards_proxied_sites(site):
    assert site.get("/proxied").status == 401
    assert site.get("/proxied", [basic()]).body == b"guarded"


@line("ACC-12")
def test_application_group_names_the_interpreter(site, log):
    log.expect("told", times=2)
    for path, group in (("/basic/page.html", ""), ("/guards/page.html", "guards")):
        expression = "tells(environ, __import__('mod_wsgi').application_group) or True"
        assert site.get(path, [answer(expression), basic()]).status == 200
        assert site.told() == group


@line("ACC-13", "PY-220")
def test_a_script_that_has_changed_is_asked_anew_by_the_next_request(site, log):
    log.expect(WRONG)
    path = site.write("changing.py", "def check_password(environ, user, password):\n    return False\n")
    assert site.get("/changing/page.html", [basic()]).status == 401
    before = path.stat().st_mtime_ns
    path.write_text("def check_password(environ, user, password):\n    return True\n")
    os.utime(path, ns=(before + 2_000_000_000,) * 2)
    assert site.get("/changing/page.html", [basic()]).status == 200


def test_a_connection_asks_for_each_request(site, log):
    log.expect(WRONG, times=2)
    with site.connect() as connection:
        statuses = [
            connection.get("/basic/page.html", [answer(expression), basic()]).status
            for expression in ("True", "False", "True", "False", "True")
        ]
    assert statuses == [200, 401, 200, 401, 200]


def test_http_2_streams_are_asked_about_each_for_itself(site, log):
    log.expect(WRONG)
    with site.connect_http2() as connection:
        streams = [
            connection.open("GET", "/basic/page.html", [("authorization", basic()[1]), ("x-answer", expression)])
            for expression in ("True", "False", "True")
        ]
        assert [connection.finish(stream).status for stream in streams] == [200, 401, 200]
