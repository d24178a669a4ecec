"""Process groups in a configuration: who may use which, what is loaded at start, services, and what is refused."""

import os
import shutil
import signal
import time

import pytest

from harness import installation
from harness.checklist import line, ours
from harness.condition import wait_until
from harness.error_log import ErrorLog
from harness.process import is_alive
from harness.puppet import Puppet

HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""
NAMES = "import mod_wsgi as m\nresult = [m.process_group, m.application_group]"
# Python 3.13 has the module under another name, and answers tuples that begin with the number.
IS_MAIN = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters

def number(answer):
    return int(answer[0] if isinstance(answer, tuple) else answer)

result = number(interpreters.get_current()) == number(interpreters.get_main())
"""
OTHER = "WSGIDaemonProcess other threads=2 display-name=%{GROUP}\n"


# -- choosing a group


@line("EXP-05")
def test_a_group_that_is_not_defined_is_500(new_daemon):
    site = new_daemon(config="<Location /main>\n  WSGIProcessGroup %{ENV:NONE}\n</Location>\n").start()
    site.log.expect("WSGI015[01]")
    assert site.script(HELLO).get().status == 500


@line("EXP-03")
def test_a_group_may_be_chosen_by_an_environment_variable(new_daemon):
    config = "SetEnvIf X-Group (.+) GROUP=$1\n<Location /main>\n  WSGIProcessGroup %{ENV:GROUP}\n</Location>\n"
    site = new_daemon(config=OTHER + config).start()
    puppet = Puppet(site)
    for group in ("daemon", "other"):
        response = puppet.app.request("POST", headers=[("X-Group", group)], body=NAMES.encode())
        assert response.text == f'["{group}", ""]'


@line("EXP-12")
def test_restrict_process_lets_only_listed_groups_be_chosen(new_daemon):
    config = (
        "<Location /main>\n  WSGIRestrictProcess other\n  WSGIProcessGroup daemon\n</Location>\n"
        "<Location /sub>\n  WSGIRestrictProcess other\n  WSGIProcessGroup other\n</Location>\n"
    )
    site = new_daemon(config=OTHER + config).start()
    site.log.expect("WSGI0149")
    assert site.script(HELLO).get().status == 500
    assert site.script(HELLO, "sub").get().status == 200


@line("EXP-12")
def test_restrict_process_has_to_name_the_embedded_group_too(new_daemon):
    config = "<Location /main>\n  WSGIRestrictProcess daemon\n  WSGIProcessGroup %{GLOBAL}\n</Location>\n"
    site = new_daemon(config=config).start()
    site.log.expect("WSGI0149")
    assert site.script(HELLO).get().status == 500


@line("EXP-12", "MRG-04")
@pytest.mark.parametrize(("lists", "status"), [(["{own}", "other"], 500), (["other", "{own}"], 200)])
def test_of_two_lists_of_allowed_groups_in_one_block_the_second_counts(new_site, door, lists, status):
    own = door.process_group or "%{GLOBAL}"
    lines = "".join(f"  WSGIRestrictProcess {each.format(own=own)}\n" for each in lists)
    site = new_site(f"<Location /main>\n{lines}  WSGIProcessGroup {own}\n</Location>\n").start()
    if status == 500:
        site.log.expect("WSGI0149")
    assert site.script(HELLO).get().status == status


@line("EXP-10", "EXP-11")
def test_a_group_of_a_virtual_host_serves_its_own_server_name_only(new_daemon):
    config = "".join(
        f"<VirtualHost *:{{port}}>\n  ServerName {name}\n  {own}\n  WSGIProcessGroup {group}\n</VirtualHost>\n"
        for name, own, group in (
            ("one.test", "WSGIDaemonProcess private threads=2", "private"),
            ("two.test", "", "private"),
            ("three.test", "", "daemon"),
        )
    )
    site = new_daemon(config=config)
    site.log.expect("WSGI0152")
    site.log.allow("WSGI0327")
    site.start()
    app = site.script(HELLO)
    statuses = [app.get(headers=[("Host", f"{name}.test:{site.port}")]).status for name in ("one", "two", "three")]
    assert statuses == [200, 500, 200]


@line("LIF-14", "LIF-15")
def test_a_virtual_hosts_group_logs_to_the_virtual_hosts_log(new_daemon):
    site = new_daemon(
        config="<VirtualHost *:{port}>\n  ServerName one.test\n  ErrorLog {root}/one.log\n"
        "  WSGIDaemonProcess private threads=2\n  WSGIProcessGroup private\n</VirtualHost>\n"
    ).start()
    puppet = Puppet(site)
    own = ErrorLog(site.root / "one.log")
    code = b"import os\nos.write(2, b'to descriptor two\\n')\nprint('of the request')"
    assert puppet.app.request("POST", headers=[("Host", f"one.test:{site.port}")], body=code).status == 200
    own.wait_for("to descriptor two")
    own.wait_for("of the request")
    assert not site.log.matching("descriptor two|of the request")


@ours
def test_each_application_group_has_processes_of_its_own_and_runs_in_the_main_interpreter(new_daemon):
    site = new_daemon("processes=1 threads=2").start()
    main, sub = Puppet(site), Puppet(site, "sub")
    assert (main.run(NAMES), sub.run(NAMES)) == (["daemon", ""], ["daemon", "sub"])
    assert main.value("os.getpid()") != sub.value("os.getpid()")
    for puppet in (main, sub):
        assert puppet.run(IS_MAIN)


@line("IMP-21")
@ours
def test_names_that_clients_choose_do_not_make_processes_without_end(new_daemon):
    # The group of an alias of the mounts would count for more than the one here.
    config = "WSGIScriptAlias /open/ {scripts}/\n<Location /open>\n  WSGIApplicationGroup %{HOST}\n</Location>\n"
    site = new_daemon("threads=1", config).start()
    site.script(HELLO, name="hello.wsgi")
    site.log.expect("WSGI0316")
    site.log.expect("WSGI0370")
    statuses = [site.get("/open/hello.wsgi", [("Host", f"h{number}.test")]).status for number in range(40)]
    assert set(statuses) == {200, 503}
    assert statuses.count(200) <= 17
    assert len(site.workers()) <= 18


# -- at start


def importing(name, group="%{GLOBAL}"):
    return f"WSGIImportScript {{scripts}}/{name} process-group=daemon application-group={group}\n"


@line("MAP-26", "PY-171")
def test_import_scripts_of_a_group_run_in_order_on_the_main_thread_of_each_process(new_daemon):
    site = new_daemon("processes=2 threads=2", importing("one.wsgi") + importing("two.wsgi"))
    for name in ("one", "two"):
        site.script(
            "import os, threading\nis_main = threading.current_thread() is threading.main_thread()\n"
            f"print('imported {name}', is_main, os.getpid())\n" + HELLO,
            name=f"{name}.wsgi",
        )
    site.log.expect("imported one", times=2)
    site.log.expect("imported two", times=2)
    site.start()
    site.log.wait_for("imported two True", count=2)
    by_process = {}
    for record in site.log.matching("imported"):
        # The supervisor writes the line, so the record has its pid.
        what, _, pid = record.message.rpartition("imported ")[2].rpartition(" ")
        by_process.setdefault(pid, []).append(what)
    assert list(by_process.values()) == [["one True", "two True"]] * 2
    assert site.get("/main/one.wsgi").body == b"hello"


@line("MAP-27")
def test_an_import_script_that_fails_is_logged_and_the_group_serves(new_daemon):
    site = new_daemon("threads=2", importing("broken.wsgi"))
    site.script("1 / 0\n", name="broken.wsgi")
    site.log.expect_exception("ZeroDivisionError", code="WSGI0110")
    if not installation.IS_OURS:
        site.log.allow("WSGI0174")  # Its second headline.
    site.start()
    assert site.script(HELLO).get().body == b"hello"


@line("MAP-23", "PY-172")
def test_an_alias_with_both_groups_is_loaded_before_the_first_request(new_daemon):
    config = "WSGIScriptAlias /pre {scripts}/pre.wsgi process-group=daemon application-group=%{GLOBAL}\n"
    site = new_daemon("threads=2", config)
    site.script("print('loaded at start')\n" + HELLO, name="pre.wsgi")
    site.log.expect("loaded at start")
    site.start()
    site.log.wait_for("loaded at start")
    assert site.get("/pre").body == b"hello"
    assert len(site.log.matching("loaded at start")) == 1


@line("MAP-25")
def test_an_alias_whose_group_depends_on_the_request_is_not_loaded_at_start(new_daemon):
    config = "WSGIScriptAlias /pre {scripts}/pre.wsgi process-group=daemon application-group=%{ENV:X}\nSetEnv X sub\n"
    site = new_daemon("threads=2", config)
    site.script("print('loaded')\n" + HELLO, name="pre.wsgi")
    site.start()
    assert site.script(HELLO).get().body == b"hello"
    assert not site.log.matching(" loaded$")
    assert site.get("/pre").body == b"hello"
    site.log.expect(" loaded$|^loaded$")


# -- services

SERVICE = """
import os, sys, time
try:
    print("service began", os.getpid())
    while {condition}:
        time.sleep(0.05)
except SystemExit:
    print("service was told to end")
    raise
"""


@line("LIF-16")
def test_a_service_runs_its_script_is_ended_by_systemexit_and_is_started_again(new_daemon):
    site = new_service(new_daemon, SERVICE.format(condition=True)).start()
    site.log.expect("service began", times=2)
    site.log.expect("service was told to end", times=2)
    pid = int(site.log.wait_for("service began").message.split()[-1])
    os.kill(pid, signal.SIGTERM)
    site.log.wait_for("service was told to end")
    site.log.wait_for("service began", count=2)
    wait_until(lambda: not is_alive(pid), "the first process to end")
    assert site.script(HELLO).get().body == b"hello"
    site.stop()
    assert len(site.log.matching("service was told to end")) == 2


def new_service(new_daemon, source):
    site = new_daemon(
        "threads=2",
        "WSGIDaemonProcess service threads=0 display-name=%{GROUP}\n"
        "WSGIImportScript {scripts}/service.wsgi process-group=service application-group=%{GLOBAL}\n",
    )
    site.script(source, name="service.wsgi")
    return site


@ours
def test_a_service_that_ends_at_once_is_not_started_at_full_speed(new_daemon):
    site = new_service(new_daemon, "import os\nprint('service began', os.getpid())\n").start()
    site.log.expect("service began", times=3)
    site.log.wait_for("service began", count=3)
    since = time.monotonic()
    # 1, 2 and 4 seconds lie between the second and the fifth.
    wait_until(lambda: time.monotonic() - since > 3, "three seconds")
    assert len(site.log.matching("service began")) <= 5


@ours
@line("IMP-19")
def test_a_request_for_a_service_is_refused_at_once(new_daemon):
    site = new_service(new_daemon, SERVICE.format(condition=True))
    site.configure(
        "WSGIDaemonProcess service threads=0 display-name=%{GROUP}\n"
        "<Location /sub>\n  WSGIProcessGroup service\n</Location>\n"
        "WSGIImportScript {scripts}/service.wsgi process-group=service application-group=%{GLOBAL}\n"
    )
    site.log.expect("WSGI0326")
    site.log.expect("WSGI0374")
    site.log.expect("service began")
    site.log.expect("service was told to end")
    site.start()
    assert site.script(HELLO, "sub").get().status == 503
    site.log.wait_for("service began")


# -- responses that daemon mode treats in a way of its own


@line("REQ-23", "PY-138")
def test_error_override_replaces_the_applications_error_pages_and_keeps_the_status(new_daemon):
    site = new_daemon("threads=2", "WSGIErrorOverride On\nErrorDocument 404 \"the server's own page\n").start()
    app = site.script(
        "def application(e, s):\n    s(e['QUERY_STRING'].replace('+', ' '), [('WWW-Authenticate', 'Basic realm=x')])\n"
        "    return [b'of the application']\n"
    )
    assert app.get("?404+Not+Found").text == "the server's own page"
    assert app.get("?200+OK").text == "of the application"
    refused = app.get("?401+Unauthorized")
    assert refused.status == 401 and b"of the application" not in refused.body
    assert refused.header("WWW-Authenticate") == "Basic realm=x"


@line("REQ-16", "PY-137")
def test_a_location_with_status_200_is_an_internal_redirect(new_daemon):
    site = new_daemon().start()
    (site.root / "htdocs" / "target.txt").write_text("of the target")
    app = site.script("def application(e, s):\n    s('200 OK', [('Location', '/target.txt')])\n    return []\n")
    assert app.get().text == "of the target"
    assert app.post(b"x").text == "of the target"


@line("REQ-17")
def test_a_location_with_a_redirecting_status_is_passed_on(new_daemon):
    site = new_daemon().start()
    app = site.script("def application(e, s):\n    s('302 Found', [('Location', '/target.txt')])\n    return []\n")
    response = app.get()
    assert (response.status, response.header("Location").endswith("/target.txt")) == (302, True)


@line("OPT-38")
def test_a_header_longer_than_header_buffer_size_is_500(new_daemon):
    source = "def application(e, s):\n    s('200 OK', [('X-Long', 'x' * 40000)])\n    return [b'hello']\n"
    site = new_daemon("threads=2 header-buffer-size=65536").start()
    assert len(site.script(source).get().header("X-Long")) == 40000


@line("OPT-41")
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize(
    ("mode", "owner", "status"), [(0o644, "games", 200), (0o664, "games", 403), (0o644, "nobody", 403)]
)
def test_script_user_wants_scripts_that_belong_to_it_and_nobody_else_can_write(new_daemon, mode, owner, status):
    site = new_daemon("threads=2 script-user=games").start()
    app = site.script(HELLO)
    shutil.chown(site.scripts, "games")
    shutil.chown(app.path, owner)
    app.path.chmod(mode)
    if status == 403:
        site.log.expect(r"WSGI01(6[2-9]|7[0-3])")
    assert app.get().status == status


# -- what is refused


@ours
@line("CFG-11", "IMP-32", "IMP-33")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("user=no-such-user", "no-such-user"),
        ("group=no-such-group", "no-such-group"),
        ("socket-user=no-such-user", "no-such-user"),
        ("threads=abc", "threads=abc"),
        ("threads=-1", "threads=-1"),
        ("processes=0", "processes=0"),
        ("request-timeout=5s", "request-timeout=5s"),
        ("home=relative", "home=relative"),
        ("umask=9", "umask=9"),
        ("colour=green", "Invalid option to WSGI daemon process definition"),
        ("python=relative/python", "python=relative/python"),
        ("script-user=games script-group=games", "Only one of script-user and script-group"),
        ("user=root", "root"),
    ],
)
def test_an_option_that_cannot_be_is_refused_with_file_and_line(new_daemon, options, said):
    site = new_daemon()
    result = site.configtest(f"WSGIDaemonProcess wrong {options}\n")
    assert result.returncode != 0
    assert said in result.stderr
    assert "httpd.conf" in result.stderr and "line" in result.stderr


@line("CFG-10")
def test_a_name_is_needed_and_may_be_used_once(new_daemon):
    site = new_daemon()
    assert site.configtest("WSGIDaemonProcess\n").returncode != 0
    assert site.configtest("WSGIDaemonProcess twice\nWSGIDaemonProcess twice\n").returncode != 0
    assert site.configtest("WSGIDaemonProcess once\n").returncode == 0


def reachable(new_daemon, options, said, codes):
    """A site with a group `wrong` that cannot run: it alone answers 503, and one line says what is the matter."""
    config = f"WSGIDaemonProcess wrong display-name=%{{GROUP}} {options}\n"
    config += "<Location /sub>\n  WSGIProcessGroup wrong\n</Location>\n"
    site = new_daemon("threads=2", config)
    site.log.expect(said)
    for code in codes:
        site.log.expect(code)
    site.start()
    assert site.script(HELLO).get().body == b"hello"
    for _ in range(3):
        assert site.script(HELLO, "sub").get().status == 503
    assert site.script(HELLO).get().body == b"hello"
    return site


@ours
@pytest.mark.parametrize(
    ("options", "said", "codes"),
    [
        ("python=/nonexistent/python", "/nonexistent/python", ["WSGI0391"]),
        ("python-home=/nonexistent/venv", "/nonexistent/venv", ["WSGI0391"]),
        ("python=/etc/passwd", "/etc/passwd", ["WSGI0312", "WSGI0371"]),
    ],
    ids=["python", "python-home", "no program"],
)
def test_a_group_that_cannot_start_answers_503_alone_and_one_line_says_why(new_daemon, options, said, codes):
    reachable(new_daemon, options, said, codes)


@ours
@pytest.mark.skipif(os.geteuid() != 0, reason="root can read everything, its workers cannot")
def test_a_home_that_the_workers_user_cannot_enter_is_said(new_daemon, tmp_path_factory):
    """The group alone answers 503 then."""
    closed = tmp_path_factory.mktemp("closed")
    closed.chmod(0o700)
    site = new_daemon(f"threads=2 user=games home={closed}")
    site.log.expect(rf"WSGI0009.*{closed}")
    site.log.expect("WSGI0371")
    site.start()
    assert site.script("").get().status == 503


@ours
@line("IMP-36")
def test_a_socket_path_that_is_too_long_is_refused_or_said_and_httpd_serves(new_daemon):
    site = new_daemon()
    result = site.configtest(f"WSGISocketPrefix {{root}}/{'x' * 150}\n")
    assert result.returncode != 0
    assert "x" * 150 in result.stderr or "too long" in result.stderr


@ours
@line("IMP-36")
def test_configtest_names_a_socket_directory_that_is_not_there(new_daemon):
    site = new_daemon()
    result = site.configtest("WSGISocketPrefix {root}/nowhere/wsgi\n")
    assert "WSGI0376" in result.stderr and f"mkdir {site.root}/nowhere" in result.stderr
    assert "WSGI0376" not in site.configtest("").stderr


@ours
@line("IMP-36")
@pytest.mark.skipif(os.geteuid() != 0, reason="a directory is closed to nobody but others")
def test_a_socket_directory_that_httpds_children_cannot_reach_is_named_at_configtest_and_at_start(new_daemon):
    site = new_daemon("threads=2 connect-timeout=2")
    closed = site.root / "closed"
    closed.mkdir(mode=0o700)
    result = site.configtest("WSGISocketPrefix {root}/closed/wsgi\n")
    assert "WSGI0376" in result.stderr and f"chmod o+x {closed}" in result.stderr
    site.log.expect("WSGI0376.*cannot pass through .*/closed")
    site.log.allow(r"WSGI0(0[01]\d|116|117|3\d\d)")
    site.start()
    assert site.script(HELLO).get().status == 503


@line("LIF-03")
def test_a_socket_directory_that_is_not_there_is_said_and_httpd_serves(new_daemon):
    site = new_daemon("threads=2 connect-timeout=2", "WSGISocketPrefix {root}/nowhere/wsgi\n")
    (site.root / "htdocs" / "static.txt").write_text("static")
    site.log.expect("nowhere")
    if installation.IS_OURS:
        site.log.expect("WSGI0318.*make it .mkdir .*/nowhere")
        site.log.expect("WSGI0391")
    else:
        site.log.allow(r"WSGI0(0[01]\d|116|117)")
    site.start()
    assert site.script(HELLO).get().status == 503
    assert site.get("/static.txt").body == b"static"


@ours
@line("IMP-18")
def test_one_group_that_cannot_start_does_not_keep_later_ones_from_starting(new_daemon):
    site = new_daemon(
        "threads=2",
        "WSGIDaemonProcess wrong python=/nonexistent/python\n"
        + OTHER
        + "<Location /sub>\n  WSGIProcessGroup other\n</Location>\n",
    )
    site.log.expect("WSGI0391: .*/nonexistent/python")
    site.start()
    assert site.script(HELLO, "sub").get().body == b"hello"


@pytest.mark.parametrize("directive", ["WSGIAcceptMutex posixsem", "WSGISocketRotation Off", "WSGISocketRotation On"])
def test_directives_about_sockets_that_have_nothing_to_do_here_are_accepted(new_daemon, directive):
    site = new_daemon("processes=2 threads=2", directive + "\n")
    site.log.allow("WSGI0325")
    site.start()
    assert site.script(HELLO).get().body == b"hello"


def test_all_options_at_once_are_accepted_and_the_group_serves(new_daemon):
    site = new_daemon(
        "processes=2 threads=3 umask=0022 home={root}/htdocs lang=C.UTF-8 locale=C.UTF-8 python-path={root}/lib "
        "python-eggs={root}/eggs switch-interval=0.005 stack-size=2097152 server-metrics=On maximum-requests=10000 "
        "restart-interval=3600 inactivity-timeout=600 request-timeout=60 interrupt-timeout=5 graceful-timeout=15 "
        "eviction-timeout=10 startup-timeout=60 deadlock-timeout=300 shutdown-timeout=5 cpu-time-limit=1000 "
        "connect-timeout=15 socket-timeout=60 queue-timeout=45 listen-backlog=100 send-buffer-size=65536 "
        "receive-buffer-size=65536 header-buffer-size=32768 response-buffer-size=1048576 response-socket-timeout=60 "
        "response-flush-delay=5 cpu-priority=1 memory-limit=2000000000 virtual-memory-limit=4000000000"
    )
    (site.root / "lib").mkdir()
    site.start()
    assert site.script(HELLO).get().body == b"hello"
