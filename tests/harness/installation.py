"""What is installed: httpd, its modules, the module under test, the Python environment of the applications.

Environment variables: HTTPD (the binary), APXS, WSGI_MODULE ("ours", the default, or the path of a module: an
installed mod_wsgi_rs.so, or a mod_wsgi), WSGI_TEST_PYTHON_HOME (default: build/venv of the project).
"""

import functools
import os
import shutil
import subprocess
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
APPS = PROJECT / "tests" / "apps"
PYTHON_HOME = Path(os.environ.get("WSGI_TEST_PYTHON_HOME", PROJECT / "build" / "venv"))

_named = os.environ.get("WSGI_MODULE", "ours")
WSGI_MODULE = PROJECT / "dist" / "mod_wsgi_rs.so" if _named == "ours" else Path(_named)
# The Python half, beside the module.
HOST = WSGI_MODULE.parent / "host"
IS_OURS = WSGI_MODULE.name == "mod_wsgi_rs.so"

# Where distributions and httpd's own installation put modules, for machines without apxs.
_MODULE_DIRECTORIES = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/local/apache2/modules")


def _first_program(*names):
    for name in filter(None, names):
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/usr/local/apache2/bin")
        if found:
            return found
    return None


@functools.cache
def httpd_binary():
    binary = _first_program(os.environ.get("HTTPD"), "apache2", "httpd")
    if binary is None:
        raise RuntimeError("httpd is not installed: neither apache2 nor httpd is found; set HTTPD")
    return binary


@functools.cache
def module_directory():
    apxs = _first_program(os.environ.get("APXS"), "apxs", "apxs2")
    if apxs:
        return Path(subprocess.check_output([apxs, "-q", "LIBEXECDIR"], text=True).strip())
    for directory in map(Path, _MODULE_DIRECTORIES):
        if directory.is_dir():
            return directory
    raise RuntimeError("httpd's modules are not found; set APXS")


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
    return subprocess.check_output([PROJECT / "scripts" / "unprivileged-account"], text=True).strip()


@functools.cache
def base_python():
    """The interpreter that the applications' environment was made with: what `make PYTHON=` names, without links."""
    return Path(os.path.realpath(PYTHON_HOME / "bin" / "python"))
