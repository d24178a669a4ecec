"""The directives of daemon mode as `httpd -t` sees them: options, contexts, messages, the whole configuration."""

import getpass
import grp
import pwd

import pytest

from harness import installation
from harness.checklist import line, ours
from harness.httpd import Httpd

USER = pwd.getpwuid(1).pw_name
GROUP = grp.getgrgid(1).gr_name
IS_ROOT = getpass.getuser() == "root"
SERVER_LEVEL = ["WSGIDaemonProcess d"]
GLOBAL_ONLY = ["WSGISocketPrefix run/wsgi", "WSGISocketRotation Off", "WSGIAcceptMutex default"]
SECTION_LEVEL = ["WSGIProcessGroup d", "WSGIRestrictProcess d %{GLOBAL}"]
PRELOAD = "WSGIScriptAlias /x /tmp/x.wsgi process-group=d application-group=%{GLOBAL}"

SECONDS = (
    "restart-interval inactivity-timeout request-timeout interrupt-timeout graceful-timeout eviction-timeout "
    "startup-timeout deadlock-timeout shutdown-timeout cpu-time-limit connect-timeout socket-timeout queue-timeout "
    "response-socket-timeout"
).split()

ACCEPTED = [
    "processes=1",
    "threads=65533",
    "threads=0",
    f"user={USER} group={GROUP}",
    "user=#1 group=#1",
    f"supplementary-groups={GROUP},#77",
    "umask=0027",
    "home=/tmp",
    "lang=de_DE.UTF-8 locale=C",
    'display-name="a b"',
    "display-name=%{GROUP}",
    "python-home=/usr python-path=/a:/b python-eggs=/tmp",
    "switch-interval=0.002",
    "stack-size=524288",
    "server-metrics=On",
    "maximum-requests=5",
    *(f"{name}=0" for name in SECONDS),
    *(f"{name}=2147483647" for name in SECONDS),
    "response-flush-delay=0",
    "listen-backlog=0",
    f"socket-user={USER}",
    "send-buffer-size=0 receive-buffer-size=0 header-buffer-size=0 response-buffer-size=0",
    "send-buffer-size=512 receive-buffer-size=512 header-buffer-size=8192 response-buffer-size=65536",
    "cpu-priority=-5",
    "memory-limit=68719476736 virtual-memory-limit=68719476736",
    f"script-user={USER}",
    f"script-group={GROUP}",
    "threads=1 threads=2",
    "threads=05",
]

REFUSED = [
    ("processes=0", "Invalid process count for WSGI daemon process"),
    ("threads=65534", "Invalid thread count for WSGI daemon process"),
    ("threads=-1", "Invalid thread count for WSGI daemon process"),
    ("user=root", "blocked from running as root"),
    ("user=#0", "blocked from running as root"),
    ("user=#3999999999", "Couldn't determine user name from uid"),
    ("home=tmp", "Invalid home directory for WSGI daemon process"),
    ("umask=9", "Invalid umask for WSGI daemon process"),
    (f"script-user={USER} script-group={GROUP}", "Only one of script-user and script-group allowed"),
    ("supplementary-groups=" + ",".join(["#1"] * 65536), "Too many supplementary groups"),
    ("switch-interval=0", "Invalid switch interval for WSGI daemon process"),
    ("stack-size=0", "Invalid stack size for WSGI daemon process"),
    ("server-metrics=maybe", "Invalid server metrics flag for WSGI daemon process"),
    ("foo=bar", "Invalid option to WSGI daemon process definition"),
    ("threads = 5", "Invalid option to WSGI daemon process definition"),
    ("virtual-processes=2", "Invalid option to WSGI daemon process definition"),
    ("memory-limit=-1", "Invalid memory limit for WSGI daemon process"),
    ("listen-backlog=-1", "Invalid listen backlog for WSGI daemon process"),
    ("maximum-requests=-1", "Invalid request count for WSGI daemon process"),
    *((f"{name}=-1", "timeout" if name.endswith("timeout") else "Invalid") for name in SECONDS),
    *((f"{name}=", "for WSGI daemon process") for name in SECONDS),
]

BUFFERS = {
    "send-buffer-size": 512,
    "receive-buffer-size": 512,
    "header-buffer-size": 8192,
    "response-buffer-size": 65536,
}

MISREAD = "threads=abc processes=2x request-timeout=5s stack-size=1M memory-limit=1G graceful-timeout=1.5".split()


@pytest.fixture(scope="module")
def bench():
    """An httpd that is only ever asked for a configtest."""
    httpd = Httpd(python_home=None)
    yield httpd
    httpd.discard()


@pytest.fixture
def accepts(bench):
    def check(config):
        result = bench.configtest(config)
        assert result.returncode == 0 and "Syntax OK" in result.stderr, result.stderr
        return result.stderr

    return check


@pytest.fixture
def refuses(bench):
    """Demands that httpd refuses the configuration with these texts; gives all it said."""

    def check(config, *texts):
        result = bench.configtest(config)
        assert result.returncode != 0, f"was accepted: {config}"
        message = " ".join(result.stderr.split())
        for text in texts:
            assert text in message, result.stderr
        return message

    return check


def within(section, *lines):
    return "\n".join([f"<{section}>", *lines, f"</{section.split()[0]}>", ""])


def host(name, *lines):
    return within("VirtualHost *:1", f"ServerName {name}", *lines)


# -- WSGIDaemonProcess


@line("CFG-12", "CFG-15", "CFG-17", "CFG-37")
@pytest.mark.parametrize("options", ACCEPTED)
def test_an_option_is_accepted(accepts, options):
    accepts(f"WSGIDaemonProcess d {options}")


@line("CFG-11", "CFG-12", "CFG-13", "CFG-14", "CFG-15", "CFG-16", "CFG-18", "CFG-19")
@pytest.mark.parametrize(("options", "text"), REFUSED, ids=[options[:40] for options, _ in REFUSED])
def test_an_option_is_refused_in_words_of_its_own(refuses, options, text):
    refuses(f"WSGIDaemonProcess d {options}", text, "Syntax error on line")


@ours
@pytest.mark.parametrize("option", ["group=root", "group=#0", "supplementary-groups=daemon,root"])
def test_a_group_of_processes_is_not_roots(refuses, option):
    refuses(f"WSGIDaemonProcess d {option}", "blocked from running with root's group: ", "Syntax error on line")


@ours
def test_scripts_may_belong_to_roots_group(accepts):
    accepts("WSGIDaemonProcess d script-group=root")


@line("CFG-17")
@pytest.mark.parametrize("name", BUFFERS)
def test_a_buffer_has_a_least_size(refuses, name):
    words = name.replace("-", " ").removesuffix(" size")
    assert words in refuses(f"WSGIDaemonProcess d {name}={BUFFERS[name] - 1}").lower()


@line("CFG-14")
def test_chroot_takes_an_absolute_path_and_root(accepts, refuses):
    if IS_ROOT:
        accepts("WSGIDaemonProcess d chroot=/tmp")
        refuses("WSGIDaemonProcess d chroot=tmp", "Invalid chroot directory for WSGI daemon process")
    else:
        refuses("WSGIDaemonProcess d chroot=/tmp", "Cannot chroot WSGI daemon process when not root")


@line("CFG-10")
def test_a_process_group_needs_a_name(refuses):
    refuses("WSGIDaemonProcess", "Name of WSGI daemon process not supplied")


@line("CFG-10")
@pytest.mark.parametrize("second", ["WSGIDaemonProcess d", host("b.example.com", "WSGIDaemonProcess d")])
@pytest.mark.parametrize("first", ["WSGIDaemonProcess d", host("a.example.com", "WSGIDaemonProcess d")])
def test_a_name_is_taken_once_in_all_of_httpd(refuses, first, second):
    refuses(f"{first}\n{second}", "Name duplicates previous WSGI daemon definition")


@ours
def test_a_duplicate_is_told_where_the_first_is(bench, refuses):
    said = refuses("WSGIDaemonProcess d\nWSGIDaemonProcess e\n" + host("b.example.com", "WSGIDaemonProcess d"))
    number = bench.config_file.read_text().splitlines().index("WSGIDaemonProcess d") + 1
    assert f"'d' is defined by WSGIDaemonProcess ({bench.config_file}, line {number})" in said


@line("IMP-32")
@ours
@pytest.mark.parametrize("option", MISREAD)
def test_a_number_that_would_be_misread_is_refused_with_what_is_accepted(refuses, option):
    refuses(f"WSGIDaemonProcess d {option}", f"'{option}'; accepted are", "Syntax error on line")


@line("IMP-33")
@ours
@pytest.mark.parametrize("option", ["user", "socket-user", "script-user", "group", "script-group"])
def test_who_is_not_known_is_refused_by_name_and_line(refuses, option):
    what = option.split("-")[-1]
    refuses(f"WSGIDaemonProcess d {option}=nobody1", f"bad {what} name 'nobody1'", "Syntax error on line")


@ours
def test_an_interpreter_is_named_outright_or_by_its_home_but_not_both(accepts, refuses):
    python = installation.base_python()
    accepts(f"WSGIDaemonProcess d python={python}")
    both = f"python={python} python-home={python.parent.parent}"
    refuses(f"WSGIDaemonProcess d {both}", "Only one of python and python-home allowed")
    refuses("WSGIDaemonProcess d python=python3", "Invalid python for WSGI daemon process")


# -- contexts


@line("CFG-21")
@pytest.mark.parametrize("directive", GLOBAL_ONLY)
def test_a_directive_of_the_whole_server_is_refused_within_a_virtual_host(refuses, directive):
    refuses(within("VirtualHost *:1", directive), "cannot occur within <VirtualHost")


@line("CFG-22")
@pytest.mark.parametrize("directive", [*GLOBAL_ONLY, *SERVER_LEVEL])
def test_a_directive_of_a_server_is_refused_within_a_directory(refuses, directive):
    refuses(within("Directory /tmp", directive), "not allowed")


@line("CFG-22", "CFG-26")
@pytest.mark.parametrize("section", ["VirtualHost *:1", "Directory /tmp", "Location /x", "Files x", 'If "true"'])
def test_a_process_group_may_be_chosen_in_each_section(accepts, section):
    accepts("WSGIDaemonProcess d\n" + within(section, *SECTION_LEVEL))


def test_everything_at_once_is_accepted_at_server_level(accepts):
    accepts("\n".join([*SERVER_LEVEL, *GLOBAL_ONLY, *SECTION_LEVEL, "WSGIRestrictProcess"]))


# -- the whole configuration


@line("CFG-06")
@pytest.mark.parametrize("import_line", [PRELOAD, "WSGIImportScript /tmp/x.wsgi process-group=d application-group=a"])
def test_a_script_to_be_loaded_needs_its_process_group(refuses, import_line):
    refuses(import_line, "process group not yet configured")


@line("CFG-07")
def test_an_alias_that_is_not_loaded_at_start_needs_no_process_group(accepts):
    accepts("WSGIScriptAlias /x /tmp/x.wsgi process-group=d")


@line("CFG-08")
def test_a_script_may_be_loaded_in_a_process_group_that_is_defined_before(accepts):
    accepts(f"WSGIDaemonProcess d\n{PRELOAD}\n" + host("a.example.com", PRELOAD))


@ours
def test_a_script_may_be_loaded_in_a_process_group_that_is_defined_after(accepts):
    accepts(f"{PRELOAD}\nWSGIDaemonProcess d")


@ours
def test_the_server_name_may_come_after_the_lines_that_depend_on_it(accepts):
    lines = within("VirtualHost *:1", "WSGIDaemonProcess d", "ServerName a.example.com")
    accepts(lines + within("VirtualHost *:2", PRELOAD, "ServerName a.example.com"))


@line("CFG-09")
def test_a_script_is_not_loaded_in_a_process_group_of_another_virtual_host(refuses):
    config = host("a.example.com", "WSGIDaemonProcess d") + host("b.example.com", PRELOAD)
    refuses(config, "process group not accessible")


@ours
def test_what_takes_the_whole_configuration_is_refused_with_its_line(bench, refuses):
    said = refuses(PRELOAD, "WSGI0328")
    number = bench.config_file.read_text().splitlines().index(PRELOAD) + 1
    assert f"Syntax error on line {number} of {bench.config_file}: WSGI process group not yet configured" in said
    assert "(in WSGIScriptAlias)" in said


@ours
@pytest.mark.parametrize(
    ("config", "code"),
    [
        ("WSGIDaemonProcess d threads=0\nWSGIScriptAlias /x /tmp/x.wsgi process-group=d", "WSGI0326"),
        ("WSGIScriptAlias /x /tmp/x.wsgi process-group=d", "WSGI0327"),
        (within("Location /x", "WSGIProcessGroup d"), "WSGI0327"),
        (host("a.example.com", "WSGIDaemonProcess d") + host("b.example.com", "WSGIProcessGroup d"), "WSGI0327"),
    ],
)
def test_a_line_that_sends_requests_where_they_fail_is_warned_of(accepts, config, code):
    assert accepts(config).count(code) == 1


@ours
@pytest.mark.parametrize("directive", ["WSGISocketRotation Off", "WSGIAcceptMutex flock"])
def test_what_there_is_no_need_for_is_accepted_and_noted(accepts, directive):
    assert "WSGI0325" in accepts(directive)


# -- sockets


@line("CFG-29")
def test_an_unknown_mutex_is_refused_with_the_known_ones(refuses):
    refuses("WSGIAcceptMutex bogus", "Accept mutex lock mechanism 'bogus' is invalid", "default, flock, fcntl")


@line("CFG-20")
def test_socket_rotation_is_a_flag(refuses):
    refuses("WSGISocketRotation maybe", "WSGISocketRotation must be one of: Off | On")


@line("IMP-36")
@ours
def test_a_socket_path_that_is_too_long_is_refused(accepts, refuses):
    long = "/tmp/" + "x" * 78
    accepts(f"WSGISocketPrefix {long[:-1]}\nWSGIDaemonProcess d")
    accepts(f"WSGISocketPrefix {long}")
    remedy = "set WSGISocketPrefix to a path of at most 82 bytes"
    refuses(f"WSGISocketPrefix {long}\nWSGIDaemonProcess d", "WSGI0328", long, remedy)


@line("IMP-36")
@ours
def test_the_sockets_lie_in_the_runtime_directory_by_default(bench, accepts, refuses):
    fitting, long = (bench.root / ("x" * (length - len(f"{bench.root}//wsgi"))) for length in (82, 83))
    for directory in (fitting, long):
        directory.mkdir()
    accepts(f"DefaultRuntimeDir {fitting}\nWSGIDaemonProcess d")
    refuses(f"DefaultRuntimeDir {long}\nWSGIDaemonProcess d", f"'{long}/wsgi'", "at most 82 bytes")


# -- reloads


@line("CFG-38")
@ours
def test_a_reload_defines_the_same_groups_anew(new_site):
    site = new_site("WSGIDaemonProcess d\n" + host("a.example.com", "WSGIDaemonProcess e")).start()
    for _ in range(3):
        site.graceful()
    assert site.get("/").status in (200, 403, 404)


@ours
@pytest.mark.parametrize("option", ["python", "python-home"])
def test_configtest_names_an_interpreter_that_is_not_there(bench, option):
    result = bench.configtest(f"WSGIDaemonProcess one {option}=/nonexistent/python\n")
    assert "WSGI0391" in result.stderr and "/nonexistent/python" in result.stderr


@ours
@pytest.mark.parametrize("option", ["home", "chroot"])
@pytest.mark.parametrize("path", ["/nonexistent/place", "/etc/passwd"])
def test_a_directory_that_is_not_there_is_named_at_configtest(bench, option, path):
    result = bench.configtest(f"WSGIDaemonProcess one {option}={path}\n")
    assert result.returncode == 0
    assert "WSGI0391" in result.stderr and f"{option}={path}" in result.stderr
