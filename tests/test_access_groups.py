"""Access scripts that are asked in a process group: httpd's children need no Python, nobody waits for ever, and a right
password need not be asked about each time.
"""

import os
import signal
import time

import pytest

from harness.access import BASIC, Guarded, answer, basic, location
from harness.checklist import line, ours
from harness.condition import wait_until
from harness.door import EMBEDDED
from harness.messages import BROKEN, DIED
from harness.process import is_alive
from test_interpreter_options import own_gils

pytestmark = ours

GROUP = "WSGISocketPrefix {root}/wsgi\nWSGIDaemonProcess guards display-name=%{GROUP} "


@pytest.fixture
def guarded():
    """Makes sites of a test's own with areas /access, /members and /staff, whose scripts have these options."""
    made = []

    def make(options="process-group=guards", group="threads=4", config="", **settings):
        members = (*BASIC, f"WSGIAuthUserScript {{puppet}} {options}")
        staff = ("AuthType Basic", "AuthName realm", "AuthBasicProvider wsgi", "WSGIAuthUserScript {known} " + options,
                 f"WSGIAuthGroupScript {{puppet}} {options}", "Require wsgi-group staff")  # fmt: skip
        text = GROUP + group + "\n" + location("/access", f"WSGIAccessScript {{puppet}} {options}")
        text += location("/members", *members) + location("/staff", *staff)
        site = Guarded(EMBEDDED, text + config, **settings)
        for area in ("access", "members", "staff"):
            site.page(f"{area}/page.html", "guarded")
        made.append(site)
        return site

    yield make
    try:
        for site in made:
            site.stop()
            site.log.verify()
    finally:
        for site in made:
            site.discard()


def member(site, expression, *credentials):
    return site.get("/members/page.html", [answer(expression), basic(*credentials)]).status


# -- no Python in httpd's children


def has_python(pid):
    with open(f"/proc/{pid}/maps") as maps:
        return "libpython" in maps.read()


@line("ACC-14", "EXP-13")
def test_where_embedded_mode_is_off_questions_are_answered_and_no_child_runs_python(guarded):
    site = guarded(config="WSGIRestrictEmbedded On\n").start()
    assert member(site, "True") == 200
    assert site.get("/access/page.html", [answer("True")]).status == 200
    assert site.get("/staff/page.html", [answer("['staff']"), basic()]).status == 200
    assert not has_python(site.child())


@line("ACC-14", "EXP-13")
def test_where_embedded_mode_is_off_scripts_without_a_group_are_asked_all_the_same(guarded):
    site = guarded(options="", config="WSGIRestrictEmbedded On\n").start()
    assert member(site, "True") == 200
    assert site.get("/access/page.html", [answer("True")]).status == 200
    assert has_python(site.child())
    app = site.script("def application(environ, start_response): pass")
    site.log.expect("WSGI0143")
    assert app.get().status == 500


def test_a_htaccess_script_has_no_python_to_be_asked_by_where_embedded_mode_is_off(guarded):
    config = "WSGIRestrictEmbedded On\n<Directory {root}/htdocs>\n  AllowOverride AuthConfig\n</Directory>\n"
    site = guarded(config=config).start()
    (site.root / "htdocs" / ".htaccess").write_text(f"WSGIAccessScript {site.root}/puppet.py")
    site.log.expect("WSGI0210")
    site.log.expect("WSGI0057")
    assert site.get("/index.html").status == 403


def test_questions_are_asked_as_the_groups_user(guarded):
    if os.getuid() != 0:
        pytest.skip("only root can give a group a user of its own")
    site = guarded(group="threads=2 user=daemon").start()
    site.log.expect("uid 1$")
    assert member(site, "says(f'uid {os.getuid()}') or True") == 200


def test_the_default_application_group_shares_its_processes_with_applications_there(guarded):
    site = guarded(config="WSGIScriptAlias /pid {root}/pid.wsgi process-group=guards application-group=%{GLOBAL}\n")
    site.write(
        "pid.wsgi",
        "import os\ndef application(environ, start_response):\n"
        "    start_response('200 OK', [])\n    return [str(os.getpid()).encode()]\n",
    )
    site.start()
    site.log.expect("pid of script")
    assert member(site, "says(f'pid of script {os.getpid()}') or True") == 200
    pid = site.log.wait_for("pid of script").message.split()[-1]
    assert site.get("/pid").text == pid


# -- time


def test_a_slow_script_is_given_up_after_the_timeout(guarded):
    site = guarded(options="process-group=guards timeout=1").start()
    site.log.expect("WSGI0403.*check_password")
    began = time.monotonic()
    assert member(site, "time.sleep(3) or True") == 500
    assert 0.9 < time.monotonic() - began < 2.5
    assert member(site, "True") == 200


@pytest.mark.parametrize(("path", "status"), [("/access", 403), ("/staff", 401)])
def test_a_late_answer_denies(guarded, path, status):
    site = guarded(options="process-group=guards timeout=1").start()
    site.log.expect("WSGI0403")
    # groups_for_user() gives no names, which the group's log is told when nobody waits any more.
    site.log.allow("WSGI0057|AH01631|WSGI0051")
    assert site.get(f"{path}/page.html", [answer("time.sleep(2) or True"), basic()]).status == status


def test_what_a_script_says_after_its_time_is_in_the_groups_log(guarded):
    site = guarded(options="process-group=guards timeout=1").start()
    site.log.expect("WSGI0403")
    site.log.expect(r"\[script .*puppet\.py\] too late")
    late = "time.sleep(1.5) or environ['wsgi.errors'].write('too late\\n') and True"
    assert member(site, late) == 500
    site.log.wait_for("too late")


def test_the_time_for_a_busy_group_counts(guarded):
    site = guarded(options="process-group=guards timeout=1", group="threads=1").start()
    busy = site.connect()
    busy.send_request("GET", "/access/page.html", [answer("says('inside') or time.sleep(2) or True")])
    site.log.expect("inside")
    site.log.wait_for("inside")
    site.log.expect("WSGI0403", times=2)
    site.log.expect("WSGI0057")
    assert member(site, "True") == 500
    assert busy.response().status == 403
    wait_until(lambda: member(site, "True") == 200, "the group to be free")
    busy.close()


def test_a_question_that_waits_longer_than_queue_timeout_is_not_asked_and_the_log_says_no_status(guarded):
    site = guarded(group="threads=1 queue-timeout=1").start()
    free = site.root / "free"
    site.log.expect("inside$")
    site.log.expect(r"WSGI0084: the question allow_access\(\) waited .*; it is not asked, so there is no answer$")
    site.log.expect("WSGI0057")
    asked = [site.connect(), site.connect()]
    waits = f"all(time.sleep(0.01) is None for _ in iter(lambda: os.path.exists({str(free)!r}), True))"
    asked[0].send_request("GET", "/access/page.html", [answer(f"says('inside') or {waits}")])
    site.log.wait_for("inside$")
    asked[1].send_request("GET", "/access/page.html", [answer("True")])
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 2, "queue-timeout to be over")
    free.touch()
    assert [connection.response().status for connection in asked] == [200, 403]
    for connection in asked:
        connection.close()


def test_zero_is_no_limit(guarded):
    site = guarded(options="process-group=guards timeout=0").start()
    assert member(site, "time.sleep(1.2) or True") == 200


def test_a_script_that_loads_for_too_long_denies_until_it_is_loaded(guarded):
    site = guarded(options="process-group=guards timeout=1")
    source = (site.root / "puppet.py").read_text()
    site.write("puppet.py", "import time\ntime.sleep(2)\n" + source)
    site.start()
    site.log.expect("WSGI0403")
    site.log.allow("WSGI0403")
    assert member(site, "True") == 500
    wait_until(lambda: member(site, "True") == 200, "the script to be loaded")


def test_interrupt_timeout_ends_a_question_as_it_ends_a_request(guarded):
    site = guarded(group="threads=1 request-timeout=1 interrupt-timeout=5").start()
    site.log.expect_exception("RequestTimeout|.*RequestTimeout")
    assert member(site, "[time.sleep(0.01) for _ in range(1000)] and True") == 500
    assert member(site, "True") == 200


# -- processes that end


@pytest.mark.parametrize("code", ["os._exit(3)", "os.kill(os.getpid(), 9)", "os.abort()"])
def test_a_process_that_dies_while_it_is_asked_denies_and_the_next_one_answers(guarded, code):
    site = guarded(group="threads=1").start()
    assert member(site, "True") == 200
    site.log.expect(DIED)
    site.log.expect(BROKEN)
    assert member(site, code) == 500
    site.log.allow("WSGI0371")
    wait_until(lambda: member(site, "True") == 200, "another process to answer")


def test_a_process_that_has_died_between_questions_is_not_noticed(guarded):
    site = guarded(group="threads=1").start()
    assert member(site, "True") == 200
    (worker,) = site.workers("guards")
    site.log.expect(DIED)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not is_alive(worker), "the process to end")
    assert member(site, "True") == 200


def test_a_process_that_has_had_its_questions_is_replaced_without_a_failure(guarded):
    site = guarded(group="threads=2 maximum-requests=5").start()
    site.log.expect(r"pid \d+\.$", times=6)

    def pids():
        assert member(site, "says(f'pid {os.getpid()}.') or True") == 200
        return {record.message.split()[-1] for record in site.log.matching(r"pid \d+\.$")}

    wait_until(lambda: len(pids()) > 1, "another process to be asked")


def test_a_graceful_restart_loses_no_question(guarded):
    site = guarded().start()
    asked = site.connect()
    asked.send_request("GET", "/access/page.html", [answer("says('inside') or time.sleep(0.5) or True")])
    site.log.expect("inside")
    site.log.wait_for("inside")
    site.graceful()
    assert asked.response().status == 200
    assert member(site, "True") == 200
    asked.close()


def test_a_changed_script_is_asked_in_new_processes_and_none_is_lost(guarded):
    site = guarded(group="threads=4").start()
    source = (site.root / "puppet.py").read_text()
    stamp = (site.root / "puppet.py").stat().st_mtime_ns
    for number in range(1, 4):
        (site.root / "puppet.py").write_text(source + f"\nversion = {number}\n")
        os.utime(site.root / "puppet.py", ns=(stamp + number * 2_000_000_000,) * 2)
        assert member(site, f"version == {number}") == 200


# -- groups that cannot be asked


def test_a_group_that_is_not_defined_is_named_at_start_and_denies(guarded):
    site = guarded(options="process-group=nowhere")
    site.log.expect("WSGI0327.*WSGIAuthUserScript.*'nowhere'")
    site.log.allow("WSGI0327")
    site.start()
    site.log.expect("WSGI0151")
    site.log.expect("WSGI0057")
    assert site.get("/access/page.html").status == 403
    assert member(site, "True") == 500


def test_a_group_that_takes_nothing_is_named_at_start_and_denies(guarded):
    site = guarded(group="threads=0")
    site.log.expect("WSGI0326", times=3)
    site.start()
    site.log.expect("WSGI0374")
    assert member(site, "True") == 500


def test_a_group_of_another_virtual_host_denies(guarded):
    config = "<VirtualHost *:{port}>\n  ServerName elsewhere.test\n  WSGIDaemonProcess hidden threads=1\n</VirtualHost>\n"
    config += "<VirtualHost *:{port}>\n  ServerName here.test\n"
    config += location("/hidden", "WSGIAccessScript {puppet} process-group=hidden") + "</VirtualHost>\n"
    site = guarded(config=config)
    site.log.allow("WSGI0327")
    site.start()
    site.log.expect("WSGI0152")
    site.log.expect("WSGI0057")
    assert site.get("/hidden/page.html", [("Host", "here.test")]).status == 403


def test_a_script_of_the_wrong_owner_is_not_asked(guarded):
    site = guarded(group="threads=1 script-user=games").start()
    site.log.expect("WSGI0162")
    assert member(site, "True") == 500


# -- the cache


def counting(site, path="/members/page.html", expression="says('asked') or True", credentials=("me", "secret")):
    """How often the script was asked by one request."""
    before = len(site.log.matching(r"asked$"))
    response = site.get(path, [answer(expression), basic(*credentials)])
    return response.status, len(site.log.matching(r"asked$")) - before


@pytest.fixture(params=["", "process-group=guards"], ids=["embedded", "daemon"])
def caching(request, guarded):
    site = guarded(options=f"{request.param} cache=60").start()
    site.log.allow(r"asked$|AH0|WSGI0057|WSGI0059|WSGI0060")
    return site


def test_a_right_password_is_asked_about_once(caching):
    assert counting(caching) == (200, 1)
    assert counting(caching) == (200, 0)


def test_the_name_that_the_script_gave_is_kept_with_it(caching):
    assert counting(caching, expression="says('asked') or 'another'") == (200, 1)
    assert counting(caching) == (200, 0)


def test_another_password_or_user_is_asked_about(caching):
    assert counting(caching) == (200, 1)
    wrong = "says('asked') or arguments[1] == 'secret'"
    assert counting(caching, expression=wrong, credentials=("me", "wrong")) == (401, 1)
    assert counting(caching, expression=wrong, credentials=("you", "secret")) == (200, 1)


@pytest.mark.parametrize("result", ["False", "None"])
def test_who_is_not_let_in_is_asked_about_again(caching, result):
    assert counting(caching, expression=f"says('asked') or {result}") == (401, 1)
    assert counting(caching, expression=f"says('asked') or {result}") == (401, 1)
    assert counting(caching) == (200, 1)


def test_a_failure_is_not_kept(caching):
    caching.log.expect_exception("ValueError: no", times=2)
    for _ in range(2):
        assert counting(caching, expression="says('asked') or raises(ValueError('no'))") == (500, 1)
    assert counting(caching) == (200, 1)


def test_groups_are_kept_and_their_absence_is_not(caching):
    page = "/staff/page.html"
    assert counting(caching, page, "says('asked') or []") == (401, 1)
    assert counting(caching, page, "says('asked') or ['staff']") == (200, 1)
    assert counting(caching, page, "says('asked') or []") == (200, 0)


def test_access_is_kept_for_one_page_and_not_for_another(caching):
    caching.page("access/other.html", "guarded")
    for page, count in (("page", 1), ("page", 0), ("other", 1), ("other?x", 1), ("other", 0)):
        path = "/access/" + page.replace("other", "other.html").replace("page", "page.html")
        assert counting(caching, path) == (200, count), path
    assert counting(caching, "/access/third.html", "says('asked') or False") == (403, 1)


def access_for(site, *headers, forwarded="10.0.0.1"):
    """Status and number of questions of a page that is open to those whom a proxy has seen at one address."""
    opens = f"says('asked') or environ.get('HTTP_X_FORWARDED_FOR') == '{forwarded}'"
    before = len(site.log.matching(r"asked$"))
    response = site.get("/access/page.html", [answer(opens), *headers])
    return response.status, len(site.log.matching(r"asked$")) - before


def test_a_client_is_not_let_in_by_the_answer_for_another_behind_the_same_proxy(caching):
    one, other = ("X-Forwarded-For", "10.0.0.1"), ("X-Forwarded-For", "10.0.0.2")
    assert access_for(caching, one) == (200, 1)
    assert access_for(caching, one) == (200, 0)
    assert access_for(caching, other) == (403, 1)
    assert access_for(caching) == (403, 1)
    assert access_for(caching, one) == (200, 0)


def test_whatever_the_environ_says_counts_for_access_but_for_the_clients_port(caching):
    one = ("X-Forwarded-For", "10.0.0.1")
    assert access_for(caching, one) == (200, 1)
    for header in [("Cookie", "a=1"), ("Cookie", "a=2"), ("X-Cookie", "a=1"), ("Host", "another.test"), ("Accept", "*/*")]:
        assert access_for(caching, one, header) == (200, 1), header
        # Each over a connection of its own.
        assert access_for(caching, one, header) == (200, 0), header


@pytest.mark.parametrize("options", ["", "process-group=guards"], ids=["embedded", "daemon"])
def test_a_password_or_a_group_is_kept_for_one_address_and_for_all_its_pages(guarded, options):
    config = "RemoteIPHeader X-Client\n"
    site = guarded(options=f"{options} cache=60", config=config, modules=("remoteip",))
    for area in ("members", "staff"):
        site.page(f"{area}/other.html", "guarded")
    site.start()
    site.log.allow(r"asked$")

    def asked(path, address, result):
        before = len(site.log.matching(r"asked$"))
        headers = [answer(f"says('asked') or {result}"), basic(), ("X-Client", address)]
        assert site.get(path, headers).status == 200
        return len(site.log.matching(r"asked$")) - before

    for area, result in (("members", "True"), ("staff", "['staff']")):
        pages = [f"/{area}/page.html", f"/{area}/other.html?x"]
        assert [asked(page, "192.0.2.1", result) for page in pages] == [1, 0], area
        assert [asked(page, "192.0.2.2", result) for page in pages] == [1, 0], area


def test_an_answer_of_a_script_that_gets_httpds_request_is_not_kept(guarded):
    native = location("/native", "WSGIAccessScript {puppet} cache=60", "WSGIPassApacheRequest On")
    native += location("/apart", "WSGIAccessScript {puppet} process-group=guards cache=60", "WSGIPassApacheRequest On")
    site = guarded(config=native)
    for area in ("native", "apart"):
        site.page(f"{area}/page.html", "guarded")
    site.start()
    site.log.allow(r"asked$")
    assert [counting(site, "/native/page.html") for _ in range(2)] == [(200, 1)] * 2
    # There it gets none.
    assert [counting(site, "/apart/page.html") for _ in range(2)] == [(200, 1), (200, 0)]


def test_a_changed_script_is_asked_anew(caching):
    assert counting(caching) == (200, 1)
    path = caching.root / "puppet.py"
    before = path.stat().st_mtime_ns
    os.utime(path, ns=(before + 2_000_000_000,) * 2)
    assert counting(caching) == (200, 1)


def test_an_answer_is_kept_no_longer_than_it_may(guarded):
    site = guarded(options="cache=1").start()
    site.log.allow(r"asked$")
    assert counting(site) == (200, 1)
    wait_until(lambda: counting(site) == (200, 1), "the answer to be forgotten", timeout=5)


def test_what_is_kept_for_long_in_one_section_is_not_used_in_another(guarded):
    briefly = (*BASIC, "WSGIAuthUserScript {puppet} cache=1")
    site = guarded(options="cache=60", config=location("/briefly", *briefly))
    site.page("briefly/page.html", "guarded")
    site.start()
    site.log.allow(r"asked$")
    assert counting(site) == (200, 1)
    assert counting(site, "/briefly/page.html") == (200, 1)
    assert counting(site) == (200, 0)


def test_what_is_kept_for_one_host_is_not_used_for_another(guarded):
    hosts = "".join(
        f"<VirtualHost *:{{port}}>\n  ServerName shop.test\n  ServerAlias {aliases}\n"
        + location("/members", *BASIC, "WSGIAuthUserScript {puppet} cache=60") + "</VirtualHost>\n"
        for aliases in ("one.test two.test", "three.test")
    )  # fmt: skip
    site = guarded(options="cache=60", config=hosts).start()
    site.log.allow(r"asked$")

    def asked(host):
        before = len(site.log.matching(r"asked$"))
        headers = [answer("says('asked') or True"), basic(), ("Host", host)]
        assert site.get("/members/page.html", headers).status == 200
        return len(site.log.matching(r"asked$")) - before

    assert [asked(f"{name}.test") for name in ("one", "two", "three", "one", "two", "three")] == [1, 1, 1, 0, 0, 0]


def test_nothing_is_kept_unless_it_is_asked_for(guarded):
    site = guarded(options="").start()
    site.log.allow(r"asked$")
    assert [counting(site) for _ in range(2)] == [(200, 1)] * 2


# -- other ways to run httpd


@pytest.mark.parametrize("mpm", ["prefork", "worker"])
@pytest.mark.parametrize("options", ["", "process-group=guards"], ids=["embedded", "daemon"])
def test_other_mpms_ask_as_well(guarded, mpm, options):
    site = guarded(options=options, mpm=mpm).start()
    site.log.expect("AH01617")
    assert [member(site, expression) for expression in ("True", "False", "'me'")] == [200, 401, 200]
    assert site.get("/staff/page.html", [answer("['staff']"), basic()]).status == 200


# -- interpreters with settings apart


@own_gils
@pytest.mark.parametrize("options", ["application-group=apart", "application-group=apart process-group=guards"])
def test_an_interpreter_with_its_own_gil_is_asked_as_well(guarded, options, home):
    site = guarded(options=options, config="WSGIPerInterpreterGIL On\n", python_home=home).start()
    site.log.expect("AH01617|WSGI0057")
    for expression, status in [("True", 200), ("False", 401), ("'me'", 200)]:
        assert member(site, expression) == status
    site.log.expect_exception("ValueError: told$")
    assert member(site, "raises(ValueError('told'))") == 500
    assert site.get("/staff/page.html", [answer("generates('staff')"), basic()]).status == 200
    assert site.get("/access/page.html", [answer("False")]).status == 403


def test_the_name_that_a_question_gives_to_a_process_decides_about_its_settings(guarded):
    options = "process-group=guards application-group=apart"
    block = "<WSGIInterpreterOptions application-group=apart>\n  WSGISwitchInterval 0.125\n</WSGIInterpreterOptions>\n"
    site = guarded(options=options, config=block).start()
    site.log.expect("switches after 0.125$")
    assert member(site, "says(f'switches after {sys.getswitchinterval()}') or True") == 200
