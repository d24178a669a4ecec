"""Other Pythons than that of the other tests, and those that cannot be embedded.

WSGI_TEST_PYTHONS names more of them: prefixes (each with bin/python or bin/python3) separated by colons. httpd's
children must be able to read them.
"""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from harness.checklist import line, ours
from harness.condition import wait_until

pytestmark = ours

OLDEST = (3, 10)
# None is the interpreter that the module was built for.
HOMES = [None, *map(Path, filter(None, os.environ.get("WSGI_TEST_PYTHONS", "").split(":")))]


def version(home):
    python = next(path for path in (home / "bin" / "python", home / "bin" / "python3") if path.exists())
    words = subprocess.check_output([python, "-Ic", "import sys; print(*sys.version_info[:2])"], text=True).split()
    return tuple(map(int, words))


USABLE = [home for home in HOMES if home is None or version(home) >= OLDEST]
TOO_OLD = [home for home in HOMES if home not in USABLE]


def named(home):
    return "default" if home is None else home.name


VERSION = """
import atexit, sys
atexit.register(print, "atexit ran")

def application(environ, start_response):
    start_response("200 OK", [])
    return [f"{sys.version_info[0]} {sys.version_info[1]} {sys.prefix}".encode()]
"""


@pytest.mark.parametrize("home", USABLE, ids=named)
@pytest.mark.parametrize("mount", ["main", "sub"])
def test_each_python_serves_reports_exceptions_reloads_and_ends_in_good_order(new_site, home, mount, door):
    site = new_site(python_home=home).start()
    app = site.script(VERSION, mount)

    *numbers, prefix = app.get().text.split()
    assert home is None or tuple(map(int, numbers)) == version(home) and Path(prefix) == home
    assert app.post(b"x" * 100_000).status == 200

    failing = site.script("def application(e, s):\n    raise ValueError('of the application')\n", mount)
    site.log.expect(f'File "{failing.path}", line 2, in application')
    site.log.expect_exception("ValueError: of the application")
    assert failing.get().status == 500

    app.rewrite(VERSION.replace("{sys.prefix}", "reloaded"))
    assert app.get().text.endswith(" reloaded")
    before = site.child()
    site.graceful()
    assert app.get().text.endswith(" reloaded")
    wait_until(lambda: before not in site.children(), "the old child to end")

    site.begin_graceful_stop()
    site.wait()
    # Both versions of the script in the first child, one in the second; a group's processes have one each, and go on.
    site.log.expect("atexit ran", times=2 if door.is_daemon else 3)


def assert_refused(site, *said):
    """httpd says once why there is no Python, and serves everything else."""
    (site.root / "htdocs" / "static.txt").write_text("static")
    site.log.expect("WSGI0036")
    site.log.allow("WSGI0(001|210)")
    if site.door.is_daemon:
        # And what the interpreter said instead of becoming a worker.
        site.log.allow(r"WSGI03(11|71)|^3\.\d+\.\d+$|^/lib/libpython3|is too old")
    app = site.script(VERSION)
    for _ in range(3):
        assert app.get().status == (503 if site.door.is_daemon else 500)
        assert site.get("/static.txt").body == b"static"
    (record,) = site.log.matching(r"\] WSGI0036: ")
    assert all(words in record.message for words in said), record.message


@pytest.fixture
def home(tmp_path_factory):
    """A directory that httpd's children can read."""
    directory = tmp_path_factory.mktemp("home")
    for parent in (directory, directory.parent, directory.parent.parent):
        parent.chmod(0o755)
    (directory / "bin").mkdir(mode=0o755)
    return directory


@line("IMP-16")
def test_a_python_without_a_shared_library_is_one_clear_error_and_other_sites_go_on(new_site, home, door):
    make_static(home)
    site = new_site(python_home=home).start()
    if door.is_daemon:
        # A worker needs no library; only httpd itself cannot have this Python.
        site.log.expect("WSGI0036.*no shared libpython")
        site.log.expect("atexit ran")
        assert site.script(VERSION).get().text.endswith(f" {home}")
        site.stop()
        return
    assert_refused(site, str(home), "no shared libpython")


def make_static(home):
    """This Python once more, with the build settings of one that was configured without --enable-shared."""
    (home / "bin" / "python").symlink_to(copy := home / "bin" / "python-itself")
    copy.write_bytes(Path(sys._base_executable).resolve().read_bytes())
    copy.chmod(0o755)
    library = home / sys.platlibdir / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    library.mkdir(parents=True)
    settings = f"{sysconfig._get_sysconfigdata_name()}.py"
    for path in Path(sysconfig.get_path("stdlib")).iterdir():
        if path.name != settings:
            (library / path.name).symlink_to(path)
    static = {**sysconfig.get_config_vars(), "LIBDIR": str(home / "lib"), "Py_ENABLE_SHARED": 0}
    static = {**static, "INSTSONAME": static["LIBRARY"], "LDLIBRARY": static["LIBRARY"]}
    (library / settings).write_text(f"build_time_vars = {static!r}\n")


# None stands for an interpreter that only says that it is old: an old one is on few machines.
@line("IMP-16")
@pytest.mark.parametrize("old", [None, *TOO_OLD], ids=lambda old: old.name if old else "made up")
def test_a_python_older_than_3_10_is_one_clear_error_and_other_sites_go_on(new_site, home, old):
    if old is None:
        python = home / "bin" / "python"
        python.write_text("#!/bin/sh\necho 3.9.18\necho /lib/libpython3.9.so.1.0\n")
        python.chmod(0o755)
    site = new_site(python_home=old or home).start()
    # What it prints is logged for the process group that it is to serve.
    site.log.allow(r"\[group \w+\] (3\.9\.18|/lib/libpython3\.9\.so\.1\.0)$")
    assert_refused(site, str(old or home), "is Python 3.", "3.10 is the oldest")


# This Python, as one says it is that was built without a GIL.
FREE_THREADED = """#!{python}
import sys, sysconfig

sysconfig.get_config_vars()["Py_GIL_DISABLED"] = 1
sys.abiflags += "t"
exec(sys.argv[2])
"""


def test_a_free_threaded_python_is_one_clear_error_and_other_sites_go_on(new_site, home):
    source = FREE_THREADED.format(python=Path(sys._base_executable).resolve())
    (home / "bin" / "python").write_text(source)
    (home / "bin" / "python").chmod(0o755)
    site = new_site(python_home=home).start()
    site.log.allow(r"\[group \w+\] .* is a free-threaded Python")
    assert_refused(site, str(home), "is a free-threaded Python")
