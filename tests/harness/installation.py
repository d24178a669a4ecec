"""What is installed: httpd, its modules, the module under test, the Python environment of the applications.

Environment variables: HTTPD (the binary), APXS, WSGI_MODULE ("ours", the default, or the path of a mod_wsgi .so),
WSGI_TEST_PYTHON_HOME (default: build/venv of the project).
"""

import functools
import os
import pwd
import shutil
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
APPS = PROJECT / "tests" / "apps"
PYTHON_HOME = Path(os.environ.get("WSGI_TEST_PYTHON_HOME", PROJECT / "build" / "venv"))

IS_OURS = os.environ.get("WSGI_MODULE", "ours") == "ours"
WSGI_MODULE = PROJECT / "dist" / "mod_wsgi_rs.so" if IS_OURS else Path(os.environ["WSGI_MODULE"])


def _first_program(*names):
    for name in names:
        found = name and (shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin"))
        if found:
            return found
    raise RuntimeError(f"none of these programs is installed: {', '.join(filter(None, names))}")


@functools.cache
def httpd_binary():
    return _first_program(os.environ.get("HTTPD"), "apache2", "httpd")


@functools.cache
def module_directory():
    apxs = _first_program(os.environ.get("APXS"), "apxs", "apxs2")
    return Path(subprocess.check_output([apxs, "-q", "LIBEXECDIR"], text=True).strip())


@functools.cache
def static_modules():
    """Names, as in `mod_NAME.c`, of the modules that are compiled into httpd."""
    listing = subprocess.check_output([httpd_binary(), "-l"], text=True)
    return {line.strip().removeprefix("mod_").removesuffix(".c") for line in listing.splitlines()[1:]}


def load_module(name):
    """The LoadModule line for httpd's own module `name`, or nothing where it is compiled in."""
    if name in static_modules():
        return ""
    return f"LoadModule {name}_module {module_directory()}/mod_{name}.so"


@functools.cache
def run_as():
    """The user httpd's children run as when the tests run as root; None when they do not."""
    if os.geteuid() != 0:
        return None
    for name in ("www-data", "apache", "daemon", "nobody"):
        try:
            pwd.getpwnam(name)
        except KeyError:
            continue
        return name
    raise RuntimeError("no unprivileged user for httpd's children: www-data, apache, daemon and nobody are all missing")
