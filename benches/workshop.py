"""Makes what the compared servers are built of, under build/bench/: the C handler and a virtual environment.

Everything is made once and kept; `make clean` takes it away.
"""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCHES = ROOT / "benches"
APPS = BENCHES / "apps"
BUILD = ROOT / "build" / "bench"
VENV = BUILD / "venv"

BUILD_TIMEOUT_S = 900


class Unusable(Exception):
    """Something that the comparison needs is missing or did not work; the text says what to do."""


def say(text):
    """Progress goes to stderr, so that stdout holds the results alone."""
    print(text, file=sys.stderr, flush=True)


def tool(name, package):
    """The path of a command, or a refusal that names the package it comes from."""
    path = shutil.which(name)
    if path is None:
        raise Unusable(f"{name} not found: apt-get install {package}")
    return path


def output_of(command, **options):
    """Runs a build command and returns what it printed; its whole output is the error message if it fails."""
    command = [str(word) for word in command]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=BUILD_TIMEOUT_S, **options
    )
    if done.returncode != 0:
        raise Unusable(f"{' '.join(command)} failed:\n{done.stdout}")
    return done.stdout


def python():
    """The interpreter that every Python server runs: PYTHON, else the system's."""
    return os.environ.get("PYTHON") or "/usr/bin/python3"


@functools.cache
def apxs(variable):
    """What httpd's apxs answers for one of its variables."""
    return output_of([apxs_path(), "-q", variable]).strip()


def apxs_path():
    """The apxs to ask: APXS, else the first that is installed (as build.rs does)."""
    if os.environ.get("APXS"):
        return os.environ["APXS"]
    return shutil.which("apxs") or tool("apxs2", "apache2-dev")


@functools.cache
def httpd_path():
    """The httpd that belongs to apxs."""
    return Path(apxs("SBINDIR")) / apxs("PROGNAME")


def c_handler():
    """Builds benches/mod_bench_hello.c if it changed since, and returns the shared object."""
    source, room = BENCHES / "mod_bench_hello.c", BUILD / "c-handler"
    built = room / ".libs" / "mod_bench_hello.so"
    if not built.exists() or built.stat().st_mtime < source.stat().st_mtime:
        say("building the C handler")
        room.mkdir(parents=True, exist_ok=True)
        # apxs leaves its objects beside the source, hence the copy.
        shutil.copy(source, room)
        output_of([apxs_path(), "-c", source.name], cwd=room)
    return built


def our_module():
    """The module that `make` leaves in dist/."""
    built = ROOT / "dist" / "mod_wsgi_rs.so"
    if not built.exists():
        raise Unusable("dist/mod_wsgi_rs.so is not there: run make first, or leave mod_wsgi_rs out with --servers")
    return built


def reference_module():
    """mod_wsgi from PyPI, built for the same Python."""
    install("mod_wsgi", "6.1.1")
    return output_of([VENV / "bin" / "mod_wsgi-express", "module-location"]).strip()


def uwsgi():
    """uWSGI from PyPI, built for the same Python."""
    install("uwsgi", "2.0.31")
    return VENV / "bin" / "uwsgi"


def environment():
    """A virtual environment of the Python that is measured; made anew when that has changed."""
    inside = VENV / "bin" / "python"
    if not inside.exists() or version_of(inside) != version_of(python()):
        say(f"making a virtual environment of {python()}")
        output_of([python(), "-m", "venv", "--clear", VENV])
    return VENV


def version_of(interpreter):
    """The full version of an interpreter, compiler included."""
    return output_of([interpreter, "-c", "import sys; print(sys.version)"]).strip()


def install(package, version):
    """Makes sure that exactly this version is in the virtual environment."""
    look = f"from importlib import metadata as m; raise SystemExit(m.version('{package}') != '{version}')"
    inside = environment() / "bin" / "python"
    if subprocess.run([inside, "-c", look], stderr=subprocess.DEVNULL, timeout=60).returncode != 0:
        say(f"installing {package} {version} (compiled here, takes a minute)")
        # pip's cache may have a build for another Python of the same version.
        output_of([inside, "-m", "pip", "install", "-q", "--no-cache-dir", f"{package}=={version}"])
