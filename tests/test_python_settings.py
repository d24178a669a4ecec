"""The directives that set Python up, and what an application sees of them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness.checklist import embedded_only, line, ours
from harness.condition import wait_until
from harness.installation import IS_OURS
from harness.process import is_alive
from harness.puppet import Puppet

FLAGS = """
import json, sys

def application(environ, start_response):
    names = ("optimize", "dont_write_bytecode", "hash_randomization")
    facts = {name: getattr(sys.flags, name) for name in names}
    facts["warnoptions"] = sys.warnoptions
    facts["switch_interval"] = sys.getswitchinterval()
    facts["path"] = sys.path
    facts["hash"] = hash("a string")
    facts["prefix"] = sys.prefix
    start_response("200 OK", [])
    return [json.dumps(facts).encode()]
"""


@pytest.fixture(params=["main", "sub"])
def facts(request, new_site):
    """Starts an httpd with this configuration and returns what the application sees of Python."""

    def make(config="", **settings):
        site = new_site(config, **settings).start()
        return site.script(FLAGS, request.param).json()

    return make


def test_without_directives_python_has_its_defaults(facts):
    seen = facts()
    assert (seen["optimize"], seen["dont_write_bytecode"], seen["hash_randomization"]) == (0, 0, 1)
    assert seen["switch_interval"] == 0.005


def test_each_directive_sets_what_it_says(facts, door):
    seen = facts(
        "WSGIPythonOptimize 2\nWSGIDontWriteBytecode On\nWSGIPythonHashSeed 12345\nWSGISwitchInterval 0.25\n"
        "WSGIPythonWarnings ignore::DeprecationWarning\nWSGIPythonWarnings default::UserWarning\n"
    )
    assert (seen["optimize"], seen["dont_write_bytecode"]) == (2, 1)
    assert seen["warnoptions"] == ["ignore::DeprecationWarning", "default::UserWarning"]
    # A group has an option of its own for that, switch-interval, which mod_wsgi overrides.
    assert seen["switch_interval"] == (0.005 if door.is_daemon and IS_OURS else 0.25)


def test_a_fixed_hash_seed_gives_the_same_hashes_in_each_process(new_site):
    config = "WSGIPythonHashSeed 12345\n"
    hashes = {new_site(config).start().script(FLAGS).json()["hash"] for _ in range(2)}
    assert len(hashes) == 1


@ours
@line("IMP-22")
def test_a_random_hash_seed_is_random_and_differs_between_processes(new_site):
    seen = [new_site("WSGIPythonHashSeed random\n").start().script(FLAGS).json() for _ in range(2)]
    assert [one["hash_randomization"] for one in seen] == [1, 1]
    assert seen[0]["hash"] != seen[1]["hash"]


@embedded_only("WSGIPythonPath is not for groups, which have python-path")
@line("PY-202")
def test_python_path_is_first_on_sys_path_and_its_pth_files_are_processed(facts, tmp_path_factory):
    base = tmp_path_factory.mktemp("path")
    base.parent.parent.chmod(0o755)
    base.parent.chmod(0o755)
    for name in ("one", "two", "from-pth"):
        (base / name).mkdir()
    (base / "one" / "extra.pth").write_text(f"{base}/from-pth\n")
    base.chmod(0o755)
    path = facts(f"WSGIPythonPath {base}/one:{base}/two\n")["path"]
    assert path[0] == f"{base}/one" and {f"{base}/two", f"{base}/from-pth"} == set(path[1:3])


@pytest.mark.parametrize("mount", ["main", "sub"])
def test_a_python_path_that_does_not_exist_disturbs_nothing(new_site, mount):
    site = new_site("WSGIPythonPath /nowhere/at/all\n").start()
    site.log.allow("WSGI0323.*/nowhere/at/all")
    assert site.script(FLAGS, mount).json()["path"]


# -- restricted objects


@line("PY-82")
@pytest.mark.parametrize("mount", ["main", "sub"])
def test_restrict_stdout_makes_print_raise(new_site, mount):
    site = new_site("WSGIRestrictStdout On\n").start()
    # Python flushes sys.stdout when it ends.
    site.log.allow("Exception ignored|access restricted by mod_wsgi")

    def application(environ, start_response):
        try:
            print("anything")
        except OSError as error:
            text = str(error)
        start_response("200 OK", [])
        return [text.encode()]

    assert site.serve(application, mount).get().text == "sys.stdout access restricted by mod_wsgi"


@line("PY-83", "PY-84")
@pytest.mark.parametrize("mount", ["main", "sub"])
@pytest.mark.parametrize("use", ["sys.stdin.read()", "input()", "hasattr(sys.stdin, 'x')"])
def test_restrict_stdin_makes_any_use_of_it_raise(new_site, mount, use):
    site = new_site("WSGIRestrictStdin On\n").start()
    app = site.script(
        f"import sys\ndef application(e, s):\n    try:\n        {use}\n    except Exception as error:\n"
        f"        text = f'{{type(error).__name__}}: {{error}}'\n    s('200 OK', [])\n"
        f"    repr(sys.stdin)\n    return [text.encode()]\n",
        mount,
    )
    text = app.get().text
    assert text == "OSError: sys.stdin access restricted by mod_wsgi" or (use == "input()" and "sys.stdin" in text)


SIGNALS = """
import os, signal

def handler(number, frame):
    pass

def application(environ, start_response):
    before = signal.getsignal(signal.SIGUSR2)
    try:
        result = signal.signal(signal.SIGUSR2, handler)
        same = signal.getsignal(signal.SIGUSR2) == before
        text = f"{result is handler} {same}"
    except ValueError as error:
        text = f"ValueError: {error}"
    start_response("200 OK", [])
    return [text.encode()]
"""


@line("PY-85")
def test_signal_registration_is_a_logged_no_op_by_default(new_site):
    site = new_site().start()
    _, unchanged = site.script(SIGNALS).get().text.split()
    assert unchanged == "True"
    site.log.wait_for("Ignoring Python signal handler registration for signal 12")


@line("PY-87")
def test_restrict_signal_off_lets_registration_through_to_python(new_site):
    """Python itself refuses it outside the main thread, and requests never run on that one."""
    site = new_site("WSGIRestrictSignal Off\n").start()
    assert site.script(SIGNALS).get().text.startswith("ValueError: signal only works in main thread")


@line("PY-86")
def test_signal_registration_works_in_a_forked_child(new_site):
    site = new_site().start()

    def application(environ, start_response):
        import os
        import signal

        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                handler = lambda number, frame: None  # noqa: E731
                signal.signal(signal.SIGUSR2, handler)
                os.write(writing, str(signal.getsignal(signal.SIGUSR2) is handler).encode())
            except BaseException as error:
                os.write(writing, repr(error).encode())
            os._exit(0)
        os.close(writing)
        os.waitpid(pid, 0)
        start_response("200 OK", [])
        return [os.read(reading, 1000)]

    assert site.serve(application).get().text == "True"


# -- embedded mode switched off


@embedded_only("it is about the embedded one")
@line("EXP-13")
def test_restrict_embedded_answers_500_and_starts_no_python(new_site):
    site = new_site("WSGIRestrictEmbedded On\n").start()
    site.log.expect("WSGI0143.*[Ee]mbedded mode")
    assert site.script(FLAGS).get().status == 500
    maps = Path(f"/proc/{site.child()}/maps").read_text()
    (site.root / "htdocs" / "static.txt").write_text("static")
    assert site.get("/static.txt").body == b"static"
    assert "Initializing Python" not in site.log.path.read_text()
    assert not IS_OURS or "libpython" not in maps


# -- a Python that cannot be used


@ours
@line("IMP-16", "PY-203")
@pytest.mark.parametrize("home", ["missing", "empty directory", "a file", "failing interpreter"])
def test_a_wrong_python_home_is_one_clear_error_and_other_sites_go_on(new_site, tmp_path_factory, home, door):
    base = tmp_path_factory.mktemp("home")
    path = {"missing": base / "missing", "a file": base / "file"}.get(home, base)
    if home == "a file":
        path.write_text("no directory")
    if home == "failing interpreter":
        (base / "bin").mkdir()
        python = base / "bin" / "python"
        python.write_text("#!/bin/sh\nexit 1\n")
        python.chmod(0o755)
    for directory in (base, base.parent, base.parent.parent):
        directory.chmod(0o755)
    site = new_site("", python_home=path).start()
    (site.root / "htdocs" / "static.txt").write_text("static")
    site.log.expect(str(path))
    site.log.allow("WSGI0(001|036|210|10[0-2])")
    if door.is_daemon:
        site.log.allow("WSGI0(311|371|391)")
    children = site.children()
    app = site.script(FLAGS)
    for _ in range(5):
        assert app.get().status in (500, 503)
        assert site.get("/static.txt").body == b"static"
    assert site.children() == children
    assert len(site.log.matching(r"\] WSGI00(36|01): ")) == 1


@pytest.fixture
def home(tmp_path_factory):
    """A Python home with nothing in its bin directory."""
    base = tmp_path_factory.mktemp("home")
    (base / "bin").mkdir()
    for directory in (base, base.parent, base.parent.parent):
        directory.chmod(0o755)
    return base


@ours
@line("IMP-16")
@pytest.mark.parametrize(("start", "survives"), [("", False), ("setsid ", True)], ids=["same group", "own session"])
def test_an_interpreter_that_leaves_a_background_process_does_not_hold_up_the_start(
    new_site, home, start, survives, door
):
    """The process holds the interpreter's standard output open. One that stays in the interpreter's group is ended."""
    pids = home / "pids"
    pids.touch()
    pids.chmod(0o666)
    python = home / "bin" / "python"
    python.write_text(
        "#!/bin/sh\n"
        f"{start}sh -c 'echo $$ >> {pids}; exec sleep 60' &\n"
        f"while [ ! -s {pids} ]; do :; done\n"
        "exit 1\n"
    )
    python.chmod(0o755)
    site = new_site("", python_home=home)
    site.log.expect(f"WSGI0036.*{home}")
    if door.is_daemon:
        site.log.allow("WSGI0311.*exit status 1")
    began = time.monotonic()
    try:
        site.start()
        assert time.monotonic() - began < 10
        assert len(site.log.matching("WSGI0036")) == 1
        first = int(pids.read_text().split()[0])
        if survives:
            assert is_alive(first)
        else:
            wait_until(lambda: not is_alive(first), "the process to be ended", timeout=5)
    finally:
        for pid in pids.read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


@ours
@line("IMP-16")
def test_an_interpreter_that_is_a_dangling_link_is_named_with_its_target(new_site, home, door):
    link = home / "bin" / "python"
    link.symlink_to("/nowhere/python3")
    site = new_site("", python_home=home)
    site.log.expect(f"WSGI0036.*{link}.*/nowhere/python3")
    if door.is_daemon:
        site.log.expect(f"WSGI0391.*{link}.*/nowhere/python3")
    site.start()


@line("LIF-18")
@pytest.mark.parametrize(("tokens", "shown"), [("Full", True), ("Prod", False)])
def test_the_server_banner_names_mod_wsgi_as_server_tokens_say(new_httpd, tokens, shown):
    site = new_httpd(f"ServerTokens {tokens}\n").start()
    (site.root / "htdocs" / "x.txt").write_text("x")
    banner = site.get("/x.txt").header("Server")
    assert ("mod_wsgi" in banner) is shown


def test_log_level_wsgi_debug_shows_more_than_info(new_site):
    counts = []
    for level in ("wsgi:info", "wsgi:debug"):
        site = new_site(f"LogLevel {level}\n").start()
        app = site.script(
            "import logging, mod_wsgi\nlogger = logging.Logger('t')\nlogger.addHandler(mod_wsgi.LogHandler())\n"
            + FLAGS.replace("    names", "    logger.debug('a debug line')\n    names", 1)
        )
        app.get()
        app.get()
        site.stop()
        counts.append(len(site.log.matching(r"wsgi:debug.*a debug line")))
    assert counts == [0, 2]


@embedded_only("it is about the embedded one")
def test_the_embedded_python_writes_no_bytecode_with_dont_write_bytecode(new_site):
    site = new_site("WSGIDontWriteBytecode On\nWSGIPythonPath {root}/packages\n")
    packages = site.root / "packages"
    packages.mkdir()
    packages.chmod(0o777)
    (packages / "some_package.py").write_text("x = 1\n")
    site.start()
    app = site.script("import some_package\ndef application(e, s):\n    s('200 OK', [])\n    return [b'ok']\n")
    assert app.get().body == b"ok"
    assert not list(packages.rglob("*.pyc"))


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A virtual environment in which a package `mod_wsgi` is installed, as pip installs it."""
    base = tmp_path_factory.mktemp("package")
    for parent in (base, base.parent, base.parent.parent):
        parent.chmod(0o755)
    subprocess.run([sys._base_executable, "-m", "venv", "--without-pip", base / "venv"], check=True)
    (libraries,) = base.glob("venv/lib/python*/site-packages")
    (libraries / "mod_wsgi").mkdir()
    (libraries / "mod_wsgi" / "__init__.py").write_text("is_the_package = True\n")
    (libraries / "mod_wsgi" / "express.py").write_text("name = 'express'\n")
    return base / "venv"


@line("PY-177")
@pytest.mark.parametrize("mount", ["main", "sub"])
def test_modules_of_an_installed_package_mod_wsgi_are_found_beside_the_built_in_module(new_site, package, mount):
    puppet = Puppet(new_site(python_home=package).start(), mount)
    seen = puppet.run(
        "import mod_wsgi, mod_wsgi.express\n"
        "result = [mod_wsgi.version, mod_wsgi.express.name, hasattr(mod_wsgi, 'is_the_package')]"
    )
    assert seen == [[6, 1, 1], "express", False]
