"""Serves the demo's Django and Flask sites from a private httpd, in the foreground, until Ctrl-C.

Run by `make demo` with the Python of the demo's virtual environment. Whatever is written goes into one temporary
directory, which goes away at the end together with httpd.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import grp
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from string import Template
from typing import TextIO

ROOT = Path(__file__).resolve().parent.parent
MODULES = """
    mpm_event unixd authn_core authz_core log_config mime dir alias env headers setenvif
""".split()
START_LIMIT = 60.0  # seconds until both sites must have answered
STOP_LIMIT = 20.0  # seconds that httpd gets to stop before it is killed


class Refusal(Exception):
    """Why the demo cannot run, in words for the terminal."""


def main() -> None:
    options = arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop_here)
    refuse_taken_port(options.port)
    account = unprivileged_account()
    with state_directory() as state:
        demo, venv, module = readable_by(account, state, ROOT / "demo", Path(sys.prefix), options.module)
        password = prepare_django(state, demo, venv, account)
        config = write_config(state, demo, venv, module, options.port, account)
        with Logs(state / "logs") as logs, httpd(config, state) as process:
            wait_until_served(process, logs, options.port)
            announce(options.port, password, state, demo, venv, module)
            while process.poll() is None:
                logs.show_new()
                time.sleep(0.2)
            raise Refusal(f"httpd ended by itself with status {process.returncode}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--module", type=Path, default=ROOT / "dist" / "mod_wsgi_rs.so", help="the module to load")
    options = parser.parse_args()
    if not options.module.exists():
        raise Refusal(f"{options.module} is not there: run make first")
    return options


def stop_here(number: int, frame: object) -> None:
    """Ends the demo in good order, once: a second Ctrl-C must not interrupt the cleaning up."""
    for again in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(again, signal.SIG_IGN)
    raise KeyboardInterrupt


def refuse_taken_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except (OSError, OverflowError) as error:
            raise Refusal(f"cannot listen on 127.0.0.1:{port} ({error}); choose another: make demo PORT=8001") from None


# ---- who serves, and from where


def unprivileged_account() -> pwd.struct_passwd | None:
    """The account for httpd's children when root runs the demo; None when an ordinary user does."""
    if os.geteuid() != 0:
        return None
    found = subprocess.run([ROOT / "scripts" / "unprivileged-account"], capture_output=True, text=True)
    if found.returncode != 0:
        raise Refusal(found.stderr.strip())
    return pwd.getpwnam(found.stdout.strip())


def as_account(account: pwd.struct_passwd | None) -> dict[str, object]:
    """Arguments for subprocess.run that make a command run as `account`."""
    return {} if account is None else {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def state_directory():
    state = Path(tempfile.mkdtemp(prefix="wsgi-demo-"))
    try:
        state.chmod(0o755)
        for name in ("run", "logs", "data", "static"):
            (state / name).mkdir()
        yield state
    finally:
        shutil.rmtree(state)


def readable_by(account, state: Path, demo: Path, venv: Path, module: Path) -> tuple[Path, Path, Path]:
    """Where httpd's children can read the demo, its virtual environment and the module.

    That is in place, except where root has its clone in a directory that nobody else may enter, such as /root: then
    copies in the state directory serve.
    """
    if all(may_read(account, path) for path in (demo / "run.py", venv / "pyvenv.cfg", module)):
        return demo, venv, module
    copies = state / "copies"
    print(f"{account.pw_name} cannot read {ROOT}; serving copies from {copies}", flush=True)
    for source, name in ((demo, "demo"), (venv, "venv"), (module.parent, "dist")):
        shutil.copytree(source, copies / name, symlinks=True)
    subprocess.run(["chmod", "-R", "a+rX", copies], check=True)
    return copies / "demo", copies / "venv", copies / "dist" / module.name


def may_read(account: pwd.struct_passwd | None, path: Path) -> bool:
    return account is None or subprocess.run(["test", "-r", path], **as_account(account), check=False).returncode == 0


# ---- Django


def prepare_django(state: Path, demo: Path, venv: Path, account) -> str:
    """Makes the database, the static files and the user `demo`; answers with that user's password."""
    print("preparing the Django site (database, static files, a user for the admin)", flush=True)
    secret_key = state / "secret-key"
    secret_key.touch(mode=0o600)
    secret_key.write_text(secrets.token_urlsafe(50), encoding="ascii")
    (state / "data").chmod(0o700)
    if account is not None:
        for path in (secret_key, state / "data", state / "static"):
            os.chown(path, account.pw_uid, account.pw_gid)
    password = secrets.token_urlsafe(9)
    environment = {
        **os.environ,
        "DEMO_STATE": str(state),
        "DJANGO_SUPERUSER_PASSWORD": password,
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for command in (
        ["migrate", "--verbosity=0"],
        ["collectstatic", "--noinput", "--verbosity=0"],
        ["createsuperuser", "--noinput", "--verbosity=0", "--username=demo", "--email=demo@localhost"],
    ):
        subprocess.run(
            [venv / "bin" / "python", demo / "guestbook" / "manage.py", *command],
            env=environment, cwd="/", check=True, **as_account(account),
        )
    return password


# ---- httpd


def write_config(state: Path, demo: Path, venv: Path, module: Path, port: int, account) -> Path:
    identity = ""
    if account is not None:
        identity = f"User {account.pw_name}\nGroup {grp.getgrgid(account.pw_gid).gr_name}"
    template = Template((ROOT / "demo" / "httpd.conf.in").read_text(encoding="utf-8"))
    config = state / "httpd.conf"
    config.write_text(
        template.substitute(
            state=state, demo=demo, venv=venv, module=module, port=port, identity=identity,
            modules="\n".join(load_lines()), mime_types=mime_types(),
        ),
        encoding="utf-8",
    )
    return config


def load_lines() -> list[str]:
    """LoadModule lines for those of MODULES that are not linked into httpd."""
    apxs = command_path(os.environ.get("APXS"), "apxs", "apxs2")
    directory = Path(subprocess.check_output([apxs, "-q", "LIBEXECDIR"], text=True).strip())
    available = [name for name in MODULES if (directory / f"mod_{name}.so").exists()]
    return [f'LoadModule {name}_module "{directory}/mod_{name}.so"' for name in available]


def mime_types() -> str:
    for path in ("/etc/mime.types", "/etc/apache2/mime.types", "/etc/httpd/conf/mime.types"):
        if os.path.exists(path):
            return path
    raise Refusal("no mime.types found; Debian's package media-types has it")


def command_path(*names: str | None) -> str:
    places = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin:/usr/local/sbin"
    for name in filter(None, names):
        if found := shutil.which(name, path=places):
            return found
    raise Refusal(f"none of {', '.join(filter(None, names))} found; make setup installs httpd")


@contextlib.contextmanager
def httpd(config: Path, state: Path):
    """httpd in a session of its own, so that a Ctrl-C reaches this script alone, which then stops httpd."""
    binary = command_path(os.environ.get("HTTPD"), "apache2", "httpd")
    process = subprocess.Popen(
        [binary, "-DFOREGROUND", "-f", config],
        env={**os.environ, "DEMO_STATE": str(state), "PYTHONDONTWRITEBYTECODE": "1"},
        stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=die_with_parent,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def die_with_parent() -> None:
    """Has the kernel stop httpd if this script is killed and cannot."""
    pr_set_pdeathsig = 1  # linux/prctl.h
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)


def wait_until_served(process: subprocess.Popen, logs: Logs, port: int) -> None:
    deadline = time.monotonic() + START_LIMIT
    waiting_for = [f"http://127.0.0.1:{port}/", f"http://127.0.0.1:{port}/flask/"]
    answer = "nothing"
    while waiting_for:
        if process.poll() is not None or time.monotonic() > deadline:
            logs.show_new()
            raise Refusal(f"{waiting_for[0]} is not served: the last answer was {answer}; the log is above")
        try:
            urllib.request.urlopen(waiting_for[0], timeout=START_LIMIT).close()
            del waiting_for[0]
            continue
        except urllib.error.HTTPError as error:
            answer = f"status {error.code}"
            deadline = min(deadline, time.monotonic() + 1)
        except OSError as error:
            answer = str(error)
        time.sleep(0.1)


class Logs:
    """Follows httpd's logs and shows on the terminal what is new in them."""

    def __init__(self, directory: Path) -> None:
        self.paths = [directory / "error.log", directory / "access.log"]
        self.files: dict[Path, TextIO] = {}

    def __enter__(self) -> Logs:
        return self

    def __exit__(self, *exception: object) -> None:
        self.show_new()

    def show_new(self) -> None:
        for path in self.paths:
            if path not in self.files and path.exists():
                self.files[path] = path.open(encoding="utf-8", errors="replace")
            if path in self.files:
                for line in self.files[path]:
                    print(line, end="", flush=True)


def announce(port: int, password: str, state: Path, demo: Path, venv: Path, module: Path) -> None:
    base = f"http://127.0.0.1:{port}"
    print(
        f"""
  Django guest book   {base}/
  Django admin        {base}/admin/     user: demo   password: {password}
  Flask               {base}/flask/

  module              {module}
  httpd configuration {state}/httpd.conf
  Django project      {demo}/guestbook     main interpreter of an httpd child
  Flask application   {demo}/flask_app     sub-interpreter of the same child
  Python              {venv}
  database, logs      {state}     removed at the end

  Ctrl-C ends it. What httpd logs follows.
""",
        flush=True,
    )


if __name__ == "__main__":
    try:
        main()
    except Refusal as refusal:
        sys.exit(f"demo: {refusal}")
    except (OSError, subprocess.CalledProcessError) as error:
        sys.exit(f"demo: {error}")
    except KeyboardInterrupt:
        print("\ndemo: stopped; nothing is left running or behind", flush=True)
