"""Groups with interpreters of their own: several Pythons at once, some that cannot be used, and some that lie."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness import installation
from harness.checklist import line, ours
from harness.condition import wait_until
from harness.door import daemon
from harness.puppet import Puppet
from test_pythons import FREE_THREADED, TOO_OLD, USABLE, version

pytestmark = ours

# Behind the daemon door no shared libpython is needed: every home counts, and an interpreter may be named itself.
NAMED = [home for home in USABLE if home is not None]
HELLO = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]
"""
WHO = "[list(sys.version_info[:2]), sys.prefix, sys.executable]"


def interpreter(home):
    return next(path for path in (home / "bin" / "python", home / "bin" / "python3") if path.exists())


def split(new_httpd, options, config="", **settings):
    """A site whose sub mount is served by a group `other` of these options; not started yet."""
    return new_httpd(
        f"WSGIDaemonProcess other display-name=%{{GROUP}} threads=2 {options}\n"
        f"<Location /sub>\n  WSGIProcessGroup other\n</Location>\n{config}",
        daemon("threads=2"),
        **settings,
    )


@pytest.mark.parametrize("home", NAMED, ids=lambda home: home.name)
@pytest.mark.parametrize("option", ["python", "python-home"])
def test_a_group_runs_the_python_it_names_beside_one_that_runs_the_default(new_httpd, home, option):
    site = split(new_httpd, f"{option}={interpreter(home) if option == 'python' else home}").start()
    default, other = Puppet(site).value(WHO), Puppet(site, "sub").value(WHO)
    assert tuple(other[0]) == version(home) and other[1] == str(home)
    assert default[1] != other[1]
    assert not any("libpython" in entry for entry in Path(f"/proc/{site.child()}/maps").read_text().splitlines())


def test_every_python_at_hand_serves_behind_one_httpd(new_httpd):
    homes = dict(enumerate(NAMED))
    site = new_httpd(
        "".join(
            f"WSGIDaemonProcess g{number} display-name=%{{GROUP}} threads=2 python={interpreter(home)}\n"
            f"WSGIScriptAlias /g{number} {{scripts}}/who.wsgi\n<Location /g{number}>\n  WSGIProcessGroup g{number}\n"
            "  WSGIApplicationGroup %{GLOBAL}\n</Location>\n"
            for number, home in homes.items()
        ),
        daemon("threads=2"),
    )
    site.script(
        "import sys\ndef application(e, s):\n"
        "    s('200 OK', [])\n    return [repr(tuple(sys.version_info[:2])).encode()]\n",
        name="who.wsgi",
    )
    site.start()
    for number, home in homes.items():
        assert site.get(f"/g{number}").text == repr(version(home))
    assert site.get("/main/who.wsgi").text == repr(version(installation.PYTHON_HOME))


@pytest.mark.parametrize("home", NAMED, ids=lambda home: home.name)
def test_the_log_names_version_and_prefix_of_each_interpreter_at_its_start(new_httpd, home):
    site = split(new_httpd, f"python={interpreter(home)}").start()
    numbers = ".".join(map(str, version(home)))
    assert Puppet(site, "sub").value("1") == 1
    site.log.wait_for(rf"{numbers}\.\d+.*{home}")


def test_a_virtual_environment_made_on_the_spot_is_used(new_httpd, tmp_path_factory):
    base = readable(tmp_path_factory.mktemp("venv"))
    subprocess.run([sys._base_executable, "-m", "venv", "--without-pip", base / "venv"], check=True)
    (
        base / "venv" / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages" / "only_here.py"
    ).touch()
    site = split(new_httpd, f"python-home={base}/venv").start()
    assert Puppet(site, "sub").run("import sys, only_here\nresult = sys.prefix") == f"{base}/venv"


def readable(directory):
    for parent in (directory, directory.parent, directory.parent.parent):
        parent.chmod(0o755)
    return directory


# -- interpreters that are none


def fake(directory, source, name="python"):
    """An executable of this source that stands for an interpreter."""
    path = readable(directory) / name
    path.write_text(source)
    path.chmod(0o755)
    return path


def assert_only_it_fails(site, code, *said):
    """The group answers 503 quickly, lines of this code say why, one with all these words, and the other group serves."""
    site.log.expect(code)
    site.log.expect("WSGI0371")
    site.start()
    wait_until(
        lambda: [r for r in site.log.records() if all(word in r.message for word in said)], f"a line with {said}"
    )
    for _ in range(5):
        assert site.script(HELLO, "sub").get().status == 503
        assert site.script(HELLO).get().body == b"hello"
    # It is not tried at full speed.
    assert len(site.log.matching(code)) < 12


@line("IMP-16")
@pytest.mark.parametrize("old", [None, *TOO_OLD], ids=lambda old: old.name if old else "made up")
def test_a_python_that_is_too_old_is_said_with_its_version_and_what_is_needed(new_httpd, old, tmp_path_factory):
    if old is None:
        python = fake(tmp_path_factory.mktemp("old"), "#!/bin/sh\necho 3.9.18\nexit 0\n")
    else:
        python = interpreter(old)
    site = split(new_httpd, f"python={python}")
    # What it prints itself.
    site.log.allow("\\[group other\\] 3\\.9\\.18$|is too old")
    assert_only_it_fails(site, "WSGI0311", str(python), *(["3.10"] if old else []))


def test_a_free_threaded_python_is_said(new_httpd, tmp_path_factory):
    source = FREE_THREADED.format(python=installation.base_python())
    python = fake(tmp_path_factory.mktemp("free"), source)
    site = split(new_httpd, f"python={python}")
    site.log.allow(r"\[group other\] .* is a free-threaded Python")
    assert_only_it_fails(site, "WSGI0311", "is a free-threaded Python", "have a GIL")


# Each with what the log says of it.
LIARS = {
    "ends at once": ("#!/bin/sh\nexit 1\n", ["WSGI0311"]),
    "says nothing and stays": ("#!/bin/sh\nexec sleep 1000\n", ["WSGI0353"]),
    "speaks garbage on every descriptor": (
        f"#!{installation.base_python()}\nimport os, time\nfor number in range(3, 30):\n"
        "    try:\n        os.write(number, b'\\xff' * 4000)\n    except OSError:\n        pass\n"
        "time.sleep(1000)\n",
        ["WSGI0319", "WSGI0353"],
    ),
    "kills itself": ("#!/bin/sh\nkill -SEGV $$\n", ["WSGI0311"]),
}


@pytest.mark.parametrize(("source", "said"), LIARS.values(), ids=LIARS)
def test_an_interpreter_that_is_no_worker_harms_only_its_group(new_httpd, source, said, tmp_path_factory):
    python = fake(tmp_path_factory.mktemp("liar"), source)
    site = split(new_httpd, f"python={python} startup-timeout=2")
    for code in [*said, "WSGI0371"]:
        site.log.expect(code)
    site.start()
    # The first one waits until it is clear; nobody waits after that, and nobody until a timeout of the socket.
    for _ in range(2):
        assert site.script(HELLO, "sub").get().status == 503
    assert site.script(HELLO).get().body == b"hello"


# A worker that takes connections on whatever socket it was given, and answers them with bytes of its own.
IMPOSTOR = """#!{python}
import os, select, socket, stat, time

sockets = []
for number in range(3, 64):
    try:
        if stat.S_ISSOCK(os.fstat(number).st_mode):
            candidate = socket.socket(fileno=os.dup(number))
            if candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                sockets.append(candidate)
    except OSError:
        pass
while True:
    for listener in select.select(sockets, [], [], 1)[0]:
        try:
            client, _ = listener.accept()
        except BlockingIOError:
            continue
        client.settimeout(1)
        try:
            client.recv(65536)
            client.sendall({answer!r})
        except OSError:
            pass
        client.close()
"""
# Each with the line and the status that a client gets for it.
ANSWERS = {
    "nothing": (b"", "WSGI0124", 503),
    "text": (b"HTTP/1.1 200 OK\r\n\r\nhello", "WSGI0372", 502),
    "another version": ((40).to_bytes(4, "little") + b"\x63\0\x04\0" + bytes(44), "WSGI0372", 502),
    "an endless frame": ((0xFFFFFFFF).to_bytes(4, "little") + b"\x01\0\x01\0" + bytes(4096), "WSGI0372", 502),
    "a wrong secret": ((52).to_bytes(4, "little") + b"\x01\0\x04\0" + bytes(44), "WSGI0373", 503),
    "a frame cut short": ((52).to_bytes(4, "little") + b"\x01\0\x04\0" + bytes(10), "WSGI0124", 503),
}


@line("IMP-31")
@pytest.mark.parametrize(("answer", "said", "status"), ANSWERS.values(), ids=ANSWERS)
def test_what_is_no_answer_of_a_worker_reaches_no_client(new_httpd, answer, said, status, tmp_path_factory):
    source = IMPOSTOR.format(answer=answer, python=installation.base_python())
    # Without startup-timeout: it goes on until httpd stops, and ends then by SIGTERM.
    site = split(new_httpd, f"python={fake(tmp_path_factory.mktemp('impostor'), source)}")
    site.log.expect(said)
    site.start()
    response = site.script(HELLO, "sub").get()
    assert response.status == status and b"hello" not in response.body
    assert site.script(HELLO).get().body == b"hello"


def test_a_python_that_its_user_cannot_execute_is_said(new_httpd, tmp_path_factory):
    closed = tmp_path_factory.mktemp("closed")
    python = fake(closed, "#!/bin/sh\nexit 0\n")
    closed.chmod(0o700)
    if os.geteuid() != 0:
        python.chmod(0o644)
    assert_only_it_fails(split(new_httpd, f"python={python}"), "WSGI0312", str(python))
