"""`WSGIAuthGroupScript` and `Require wsgi-group`: which groups a user is in."""

import pytest

from conftest import run
from harness.access import Guarded, answer, basic, location
from harness.checklist import line, ours, ours_in_daemon

# mod_wsgi asks inside httpd only.
pytestmark = ours_in_daemon

LOGIN = ("AuthType Basic", "AuthName realm", "AuthBasicProvider wsgi", "WSGIAuthUserScript {known} {door}")
GROUPS = "WSGIAuthGroupScript {puppet} {door}"

CONFIG = (
    location("/staff", *LOGIN, GROUPS, 'Require wsgi-group staff "site owners"')
    + location("/both", *LOGIN, GROUPS, "<RequireAll>", "Require wsgi-group one", "Require wsgi-group two", "</RequireAll>")
    + location("/or", *LOGIN, GROUPS, "<RequireAny>", "Require wsgi-group one", "Require user me", "</RequireAny>")
    + location("/not", *LOGIN, GROUPS, "<RequireAll>", "Require valid-user", "Require not wsgi-group banned", "</RequireAll>")
    + location("/none", *LOGIN, GROUPS, "<RequireAll>", "Require valid-user", "<RequireNone>", "Require wsgi-group banned",
               "</RequireNone>", "</RequireAll>")
    + "<AuthzProviderAlias wsgi-group outcast banned>\n</AuthzProviderAlias>\n"
    + location("/alias", *LOGIN, GROUPS, "<RequireAll>", "Require valid-user", 'Require "NOT" outcast', "</RequireAll>")
    + location("/no-login", GROUPS, "Require wsgi-group staff")
    + location("/no-script", *LOGIN, "Require wsgi-group staff")
    + location("/missing", *LOGIN, "WSGIAuthGroupScript {known} {door}", "Require wsgi-group staff")
    + location("/broken", *LOGIN, "WSGIAuthGroupScript {root}/broken.py {door}", "Require wsgi-group staff")
    + location("/file", "AuthType Basic", "AuthName realm", "AuthBasicProvider file", "AuthUserFile {root}/users", GROUPS,
               "Require wsgi-group staff")
    + location("/guards", *LOGIN, GROUPS + " application-group=guards", "Require wsgi-group staff")
)  # fmt: skip

NO_GROUPS, NO_MATCH = "WSGI0059", "WSGI0060"
# mod_authz_core's words for a request that it denies.
DENIED = "AH01631"


@pytest.fixture(scope="module")
def site(door):
    site = Guarded(door, CONFIG)
    for area in ("staff", "both", "or", "not", "none", "alias", "no-login", "no-script", "missing", "broken", "file", "guards"):
        site.page(f"{area}/page.html", "guarded")
    site.write("broken.py", "raise ValueError('not today')\n")
    site.write("users", "filed:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n")
    yield from run(site)


@pytest.fixture
def ask(site, log):
    """The status of a page, when the script that is asked about groups does this."""
    log.allow(DENIED)
    return lambda expression, area="staff": site.get(f"/{area}/page.html", [answer(expression), basic()]).status


@line("ACC-06", "PY-214")
@pytest.mark.parametrize(
    "groups",
    ["['staff']", "('other', 'staff')", "{'staff': 1}", "{'staff'}", "iter(['staff'])", "generates('other', 'staff')",
     "[b'staff']", "['other', b'staff']", "['site owners']", "map(str.lower, ['STAFF'])"],
)  # fmt: skip
def test_one_of_the_required_groups_lets_in(ask, groups):
    assert ask(groups) == 200


@line("ACC-06", "PY-214")
@pytest.mark.parametrize("groups", ["['STAFF']", "[b'Staff']", "['Site Owners']"])
def test_case_does_not_count(ask, groups):
    assert ask(groups) == 200


@line("ACC-06", "PY-214")
@pytest.mark.parametrize("groups", ["['other']", "['staff ']", "['site', 'owners']", "['']"])
def test_other_groups_deny(ask, log, groups):
    log.expect(NO_MATCH)
    assert ask(groups) == 401


@line("ACC-06")
@pytest.mark.parametrize("groups", ["[]", "()", "generates()"])
def test_no_groups_deny(ask, log, groups):
    log.expect(NO_GROUPS)
    assert ask(groups) == 401


@line("ACC-06")
@pytest.mark.parametrize("result", ["None", "True", "1", "object()"])
def test_what_is_no_iterable_denies(ask, log, result):
    log.expect("WSGI0051")
    # mod_wsgi shows Python's own exception beside it.
    log.allow("WSGI0174|is not iterable")
    assert ask(result) == 401


@ours
@pytest.mark.parametrize("result", ["'staff'", "b'staff'", "''"])
def test_a_single_name_is_no_iterable_of_names(ask, log, result):
    log.expect("WSGI0051")
    assert ask(result) == 401


@pytest.mark.parametrize("item", ["1", "None", "['staff']", "object()"])
def test_a_group_that_is_no_name_denies(ask, log, item):
    log.expect("WSGI00(49|50)|WSGI0174")
    assert ask(f"['staff', {item}]") == 401


@ours
def test_a_name_is_not_cut_at_a_nul(ask, log):
    log.expect(NO_MATCH)
    assert ask(r"['staff\0']") == 401


@ours
def test_a_name_that_is_no_latin_1_is_one_all_the_same(ask):
    assert ask(r"['\u4e2d', 'staff']") == 200


@line("ACC-06")
def test_an_exception_denies(ask, log):
    log.expect_exception("LookupError: gone")
    assert ask("raises(LookupError('gone'))") == 401


@ours
@line("PY-215")
def test_a_generator_that_raises_after_the_right_group_denies(ask, log):
    log.expect_exception("LookupError: gone")
    assert ask("generates('staff', LookupError('gone'))") == 401


@ours
def test_an_iterator_without_an_end_denies(ask, log):
    log.expect("WSGI0400")
    assert ask("__import__('itertools').repeat('staff')") == 401


@ours
def test_longer_names_than_can_be_told_deny(ask, log):
    log.expect("WSGI0402")
    assert ask("['staff'] + ['g' * 1000] * 300") == 401


def test_a_script_without_the_function_denies(ask, log):
    log.expect("WSGI0052")
    assert ask("['staff']", "missing") == 401


def test_a_script_that_cannot_be_loaded_denies(ask, log):
    log.expect_exception("ValueError: not today", code="WSGI0109")
    log.allow("WSGI0304|WSGI0174")
    assert ask("['staff']", "broken") == 401


def test_no_script_denies(ask, log):
    log.expect("WSGI0058")
    assert ask("['staff']", "no-script") == 401


# -- together with other rules


def test_each_line_is_asked_about(ask, log):
    assert ask("['one', 'two']", "both") == 200
    log.expect(NO_MATCH)
    assert ask("['one']", "both") == 401


def test_another_rule_may_let_in(ask, log):
    log.allow(NO_MATCH)
    assert ask("['other']", "or") == 200


def test_a_failure_does_not_stand_in_the_way_of_another_rule(ask, log):
    log.expect_exception("LookupError: gone")
    assert ask("raises(LookupError('gone'))", "or") == 200


def test_a_group_can_be_kept_out(ask, log):
    log.allow(NO_MATCH)
    assert ask("['other']", "not") == 200
    assert ask("['banned']", "not") == 401


def test_a_user_of_another_provider_has_groups_too(site, log):
    headers = [answer("tells(environ, arguments) or ['staff']"), basic("filed", "secret")]
    log.expect("told")
    assert site.get("/file/page.html", headers).status == 200
    assert site.told() == ["filed"]


@line("ACC-06")
def test_nobody_is_asked_about_before_he_has_logged_in(site, log):
    response = site.get("/staff/page.html", [answer("raises(ValueError('asked'))")])
    assert (response.status, response.header("WWW-Authenticate")) == (401, 'Basic realm="realm"')


def test_where_nobody_can_log_in_nobody_is_let_in(site, log):
    log.allow("AH00027|AH0163|AH0179|configuration error")
    assert site.get("/no-login/page.html", [answer("['staff']")]).status in (401, 403, 500)


@pytest.mark.parametrize("area", ["not", "none", "alias"])
def test_who_is_in_a_group_that_is_kept_out_is_kept_out(ask, log, area):
    log.expect(NO_MATCH)
    assert ask("['staff']", area) == 200
    log.expect(NO_GROUPS)
    assert ask("[]", area) == 200
    assert ask("['staff', 'banned']", area) == 401


@ours
@pytest.mark.parametrize("area", ["not", "none", "alias"])
def test_a_failure_lets_nobody_pass_a_line_that_keeps_a_group_out(ask, log, area):
    log.expect_exception("ValueError: no", times=2)
    assert ask("raises(ValueError('no'))", area) == 500
    assert ask("generates('staff', ValueError('no'))", area) == 500
    log.expect("WSGI0051")
    assert ask("5", area) == 500


@line("ACC-12")
def test_application_group_names_the_interpreter(site, log):
    log.expect("told")
    expression = "tells(environ, __import__('mod_wsgi').application_group) or ['staff']"
    assert site.get("/guards/page.html", [answer(expression), basic()]).status == 200
    assert site.told() == "guards"


@line("ACC-10", "PY-217")
def test_the_environ_has_neither_credentials_nor_the_user(site, log):
    log.expect("told")
    assert site.get("/staff/page.html", [answer("tells(environ, sorted(environ)) or ['staff']"), basic()]).status == 200
    assert not [key for key in site.told() if "AUTH" in key or "REMOTE_USER" in key]
