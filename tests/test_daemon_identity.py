"""Who a worker is and what is around it: user, groups, directories, limits, environment, as seen from inside."""

import grp
import os
import pwd
import shutil
import subprocess

import pytest

from harness import installation
from harness.checklist import line, ours
from harness.process import command_line
from harness.puppet import Puppet

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give workers another user")
USER = "nobody"


def account():
    return pwd.getpwnam(USER)


@as_root
@line("OPT-04")
def test_a_worker_runs_as_the_user_and_group_that_are_named(new_daemon):
    site = new_daemon(f"threads=2 user={USER} group=games home=/").start()
    puppet = Puppet(site)
    gid = grp.getgrnam("games").gr_gid
    assert puppet.value("[*os.getresuid(), *os.getresgid()]") == [account().pw_uid] * 3 + [gid] * 3
    assert puppet.run("import os\ntry:\n    os.setuid(0)\nexcept PermissionError:\n    result = 'refused'") == "refused"


@as_root
@line("OPT-04")
def test_users_go_by_number_too_and_the_group_is_httpds_where_none_is_named(new_daemon):
    site = new_daemon(f"threads=2 user=#{account().pw_uid} home=/").start()
    httpds = pwd.getpwnam(installation.run_as()).pw_gid
    assert Puppet(site).value("[os.getuid(), os.getgid()]") == [account().pw_uid, httpds]


@as_root
@line("OPT-05")
def test_supplementary_groups_are_exactly_the_group_and_the_list(new_daemon):
    site = new_daemon(f"threads=2 user={USER} group=games supplementary-groups=video,#12345 home=/").start()
    expected = {grp.getgrnam("games").gr_gid, grp.getgrnam("video").gr_gid, 12345}
    assert set(Puppet(site).value("os.getgroups()")) == expected


@as_root
@line("OPT-05")
def test_without_a_list_the_supplementary_groups_are_the_users(new_daemon):
    site = new_daemon(f"threads=2 user={USER} group=games home=/").start()
    expected = set(os.getgrouplist(USER, grp.getgrnam("games").gr_gid))
    assert set(Puppet(site).value("os.getgroups()")) == expected


@line("OPT-06")
def test_umask_is_set(new_daemon):
    site = new_daemon("threads=2 umask=0027").start()
    assert Puppet(site).run("import os\nresult = os.umask(0)\nos.umask(result)") == 0o027


@line("OPT-07", "PY-202")
@pytest.mark.parametrize("mount", ["main", "sub"])
def test_home_is_the_working_directory_and_the_first_place_for_modules(new_daemon, mount):
    site = new_daemon("threads=2 home={root}/htdocs").start()
    home = str(site.root / "htdocs")
    assert Puppet(site, mount).value("[os.getcwd(), sys.path[0]]") == [home, home]


@as_root
@line("OPT-08")
def test_without_home_another_users_worker_starts_in_that_users_home(new_daemon):
    site = new_daemon("threads=2 user=daemon group=daemon").start()
    assert Puppet(site).value("os.getcwd()") == os.path.realpath(pwd.getpwnam("daemon").pw_dir)


@as_root
@line("OPT-09", "PY-210")
def test_the_environment_names_the_workers_user_and_not_root(new_daemon):
    environment = {"HOME": "/root", "USER": "root", "LOGNAME": "root"}
    site = new_daemon(f"threads=2 user={USER} home=/", environment=environment).start()
    seen = Puppet(site).value("dict(os.environ)")
    assert seen["HOME"] == account().pw_dir
    assert seen.get("USER", USER) == USER and seen.get("LOGNAME", USER) == USER


@line("OPT-10")
def test_lang_and_locale_are_in_the_environment_and_in_force(new_daemon):
    site = new_daemon("threads=2 lang=C.UTF-8 locale=C.UTF-8").start()
    puppet = Puppet(site)
    assert puppet.value("[os.environ['LANG'], os.environ['LC_ALL']]") == ["C.UTF-8"] * 2
    assert puppet.run("import locale\nresult = locale.setlocale(locale.LC_CTYPE)") == "C.UTF-8"


@line("OPT-10")
def test_a_locale_that_there_is_not_is_a_warning_and_the_group_serves(new_daemon):
    site = new_daemon("threads=2 locale=xx_XX.UTF-8")
    site.start()
    site.log.expect("WSGI0079")
    assert Puppet(site).value("os.environ['LC_ALL']") == "xx_XX.UTF-8"


@pytest.mark.parametrize("environment", [{}, {"LANG": "C", "LC_ALL": "C"}, {"LC_ALL": "POSIX"}], ids=str)
def test_text_is_utf_8_whatever_the_locale_of_httpd(new_daemon, environment):
    site = new_daemon(environment=environment).start()
    code = "import locale, sys\nresult = [sys.getfilesystemencoding(), locale.getpreferredencoding().lower()]"
    assert Puppet(site).run(code) == ["utf-8", "utf-8"]


@ours
def test_nothing_in_httpds_environment_that_changes_how_python_starts_reaches_a_worker(new_daemon):
    misleading = {"PYTHONHOME": "/nonexistent", "PYTHONPATH": "/nonexistent", "NOTIFY_SOCKET": "/x"}
    site = new_daemon(environment=misleading).start()
    assert not set(misleading) & set(Puppet(site).value("dict(os.environ)"))


@as_root
@line("OPT-15")
def test_cpu_priority_is_set_before_privileges_are_given_up(new_daemon):
    site = new_daemon(f"threads=2 user={USER} home=/ cpu-priority=-3").start()
    assert Puppet(site).value("os.getpriority(os.PRIO_PROCESS, 0)") == -3


@line("OPT-18")
def test_the_limit_of_cpu_time_is_the_kernels(new_daemon):
    site = new_daemon("threads=2 cpu-time-limit=100 shutdown-timeout=7").start()
    assert Puppet(site).value("resource.getrlimit(resource.RLIMIT_CPU)") == [100, 108]


@line("OPT-16")
def test_a_stack_size_is_accepted_and_threads_serve(new_daemon):
    site = new_daemon("threads=3 stack-size=1048576").start()
    assert Puppet(site).run("def f(n): return n and f(n - 1)\nresult = f(500)") == 0


@line("OPT-45")
def test_switch_interval_is_set(new_daemon):
    site = new_daemon("threads=2 switch-interval=0.002").start()
    assert Puppet(site).value("sys.getswitchinterval()") == pytest.approx(0.002)


@line("OPT-14")
def test_the_display_name_stands_in_the_process_list(new_daemon):
    site = new_daemon().start()
    assert command_line(site.process())[0].startswith("(wsgi:daemon")


@ours
@line("IMP-35")
def test_a_display_name_is_shown_whole_however_long(new_daemon):
    # It begins as the harness knows workers.
    name = "(wsgi:daemon) a name with blanks " + "x" * 200
    site = new_daemon(f'threads=2 display-name="{name}"').start()
    assert command_line(Puppet(site).value("os.getpid()"))[0] == name


@line("OPT-11", "OPT-12", "PY-202")
def test_python_path_leads_the_module_search_and_httpds_own_does_not_count(new_daemon):
    site = new_daemon("threads=2 python-path={root}/first:{root}/second", "WSGIPythonPath {root}/embedded\n")
    for name in ("first", "second", "embedded", "by-pth"):
        (site.root / name).mkdir()
    (site.root / "first" / "more.pth").write_text(f"{site.root}/by-pth\n")
    site.start()
    path = Puppet(site).value("sys.path")
    own = [entry.removeprefix(f"{site.root}/") for entry in path if entry.startswith(str(site.root))]
    assert own[0] == "first" and set(own[1:]) == {"second", "by-pth"}


@line("OPT-13")
def test_the_groups_virtual_environment_is_used(new_daemon):
    site = new_daemon(f"threads=2 python-home={installation.PYTHON_HOME}", python_home=None).start()
    puppet = Puppet(site)
    assert puppet.value("sys.prefix") == str(installation.PYTHON_HOME)
    assert puppet.run("import flask\nresult = flask.__file__").startswith(str(installation.PYTHON_HOME))


@line("OPT-01", "OPT-02", "OPT-03", "PY-31", "PY-32", "PY-33")
@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ("", [True, False, False]),
        ("processes=1", [True, True, False]),
        ("processes=2 threads=1", [False, True, False]),
        ("threads=1", [False, False, False]),
        ("threads=1 maximum-requests=1", [False, False, True]),
    ],
)
def test_the_flags_say_what_the_group_was_given(new_daemon, options, flags):
    site = new_daemon(options).start()
    names = [f"wsgi.{name}" for name in ("multithread", "multiprocess", "run_once")]
    assert Puppet(site).run(f"result = [environ[name] for name in {names}]") == flags


@line("OPT-01")
def test_a_group_has_fifteen_threads_by_default(new_daemon):
    site = new_daemon("").start()
    facts = "import mod_wsgi as m\nresult = [m.process_group, m.maximum_processes, m.threads_per_process]"
    assert Puppet(site).run(facts) == ["daemon", 1, 15]


@ours
@as_root
@line("OPT-43")
def test_a_chrooted_worker_serves_scripts_below_its_root_and_sees_nothing_else(new_daemon, tmp_path_factory):
    root = tmp_path_factory.mktemp("chroot")
    for parent in (root, root.parent, root.parent.parent):
        parent.chmod(0o755)
    furnish(root)
    (root / "jail.wsgi").write_text((installation.APPS / "puppet.wsgi").read_text())
    site = new_daemon(
        f"threads=2 chroot={root} home=/ python={installation.base_python()}",
        f"WSGIScriptAlias /jail {root}/jail.wsgi\n<Location /jail>\n  WSGIApplicationGroup %{{GLOBAL}}\n</Location>\n",
        python_home=None,
    ).start()
    code = (
        "import os\nresult = [environ['SCRIPT_FILENAME'], os.path.exists('/jail.wsgi'), os.path.exists('/proc/self')]"
    )
    response = site.request("POST", "/jail", body=code.encode())
    assert (response.status, response.body) == (200, b'["/jail.wsgi", true, false]')
    site.log.expect("WSGI0081")
    assert Puppet(site).send("").status in (500, 502)


def furnish(root):
    """Puts the Python of the tests, what it is linked with and the module's Python half below `root`."""
    python = str(installation.base_python())
    command = [python, "-Ic", "import sysconfig; print(sysconfig.get_path('stdlib'))"]
    library = subprocess.check_output(command, text=True).strip()
    ignored = shutil.ignore_patterns("test", "__pycache__", "idlelib", "ensurepip", "lib2to3", "config-*")
    shutil.copytree(library, f"{root}{library}", ignore=ignored, ignore_dangling_symlinks=True)
    host = installation.WSGI_MODULE.parent / "host"
    shutil.copytree(host, f"{root}{host}")
    needed = {python}
    for binary in [python, *host.rglob("*.so"), *(root / library[1:]).rglob("*.so")]:
        listing = subprocess.run(["ldd", binary], capture_output=True, text=True).stdout
        needed |= {word for word in listing.split() if word.startswith("/")}
    for path in needed:
        target = root / path[1:]
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    (root / "dev").mkdir()
    for name, minor in (("null", 3), ("urandom", 9)):
        os.mknod(root / "dev" / name, 0o20666, os.makedev(1, minor))
        (root / "dev" / name).chmod(0o666)


@ours
def test_a_home_that_cannot_be_entered_is_said_and_that_group_alone_answers_503(new_daemon):
    config = (
        "WSGIDaemonProcess other threads=2\n"
        "WSGIScriptAlias /other/ {scripts}/\n<Location /other>\n  WSGIProcessGroup other\n</Location>\n"
    )
    site = new_daemon("threads=2 home={root}/nowhere", config)
    site.log.expect("WSGI0009: .*cannot enter home='.*/nowhere'")
    site.log.expect("WSGI0371")
    site.start()
    source = "def application(e, s):\n    s('200 OK', [])\n    return [b'hello']\n"
    assert site.script(source, name="hello.wsgi").get().status == 503
    assert site.get("/other/hello.wsgi").body == b"hello"


@line("PY-176")
def test_the_modules_say_what_httpd_is_and_how_large_the_group(new_daemon):
    site = new_daemon("processes=2 threads=3").start()
    version, description, mpm_name, *numbers = Puppet(site).run(
        "import apache, mod_wsgi\n"
        "result = [list(apache.version), apache.description, apache.mpm_name, apache.maximum_processes,\n"
        "          apache.threads_per_process, mod_wsgi.maximum_processes, mod_wsgi.threads_per_process]"
    )
    assert f"Apache/{'.'.join(map(str, version))}" in description
    assert mpm_name == "event"
    # Those of httpd's children, then those of the group.
    assert numbers == [1, 12, 2, 3]


@line("PY-34")
def test_the_times_of_a_request_follow_each_other(new_daemon):
    puppet = Puppet(new_daemon().start())
    names = ("request", "queue", "daemon", "application")
    times = puppet.run(f"import time\nresult = [environ[f'mod_wsgi.{{n}}_start'] for n in {names}] + [time.time()]")
    *floats, now = [float(each) for each in times]
    assert floats == sorted(floats) and 0 < floats[0] <= now
