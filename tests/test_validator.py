"""Every test application once under wsgiref.validate, which checks both sides of PEP 3333."""

import pytest

from harness import installation
from harness.checklist import both_interpreters

pytestmark = both_interpreters

WRAPPER = """
import importlib.machinery, importlib.util, sys
from wsgiref.validate import validator

loader = importlib.machinery.SourceFileLoader("wrapped", {path!r})
wrapped = importlib.util.module_from_spec(importlib.util.spec_from_loader("wrapped", loader))
sys.modules["wrapped"] = wrapped
loader.exec_module(wrapped)
application = validator(wrapped.application)
"""

FORM = ("Content-Type", "application/x-www-form-urlencoded")

# What each application of tests/apps is asked, and the status it gives.
REQUESTS = {
    "environ.wsgi": [("GET", "/x?y=1", None, 200), ("POST", "", b"body", 200), ("HEAD", "", None, 200)],
    "named.wsgi": [("GET", "", None, 200), ("OPTIONS", "", None, 200)],
    "callables.wsgi": [("GET", "", None, 200)],
    # Its forms are left out: where the input is terminated Werkzeug reads without a size, which the validator forbids.
    "flask_site.wsgi": [
        ("GET", "/", None, 200),
        ("GET", "/stream", None, 200),
        ("GET", "/file", None, 200),
        ("GET", "/nowhere", None, 404),
    ],
    "bottle_site.wsgi": [
        ("GET", "/hello/x", None, 200),
        ("POST", "/form", b"name=x", 200),
        ("GET", "/stream", None, 200),
        ("GET", "/file", None, 200),
    ],
    "pyramid_site.wsgi": [
        ("GET", "/hello/x", None, 200),
        ("POST", "/form", b"name=x", 200),
        ("GET", "/file", None, 200),
    ],
}
# Runs in test_frameworks.py: it needs a database.
# A puppet runs what its test sends; no application of a site looks like it.
ELSEWHERE = {"django_site.wsgi", "puppet.wsgi"}


def test_every_application_is_listed():
    assert {path.name for path in installation.APPS.glob("*.wsgi")} == REQUESTS.keys() | ELSEWHERE


@pytest.mark.parametrize("name", REQUESTS)
def test_the_validator_has_nothing_to_say(site, script, name):
    """Its assertions would be exceptions in the error log, and 500."""
    app = script(WRAPPER.format(path=str(site.apps / name)))
    for method, rest, body, status in REQUESTS[name]:
        response = app.request(method, rest, [FORM] if body else [], body)
        assert response.status == status, f"{method} {rest}"


def test_the_validator_has_nothing_to_say_of_reading_writing_and_logging(serve, log):
    def application(environ, start_response):
        from wsgiref.validate import validator

        def inner(environ, start_response):
            body = environ["wsgi.input"]
            seen = [body.readline(), body.read(3), body.readlines(100), list(body)]
            environ["wsgi.errors"].write("written under the validator\n")
            environ["wsgi.errors"].writelines(["and more\n"])
            environ["wsgi.errors"].flush()
            write = start_response("200 OK", [("Content-Type", "text/plain")])
            write(b"written ")
            return [repr(seen).encode()]

        return validator(inner)(environ, start_response)

    log.expect("written under the validator$")
    log.expect("and more$")
    assert serve(application).post(b"a\nbcdef\ng").text == "written [b'a\\n', b'bcd', [b'ef\\n', b'g'], []]"


def test_the_validator_has_nothing_to_say_of_a_file(site, script):
    app = script(
        "from wsgiref.validate import validator\n"
        "def inner(environ, start_response):\n"
        "    start_response('200 OK', [('Content-Type', 'text/plain')])\n"
        "    return environ['wsgi.file_wrapper'](open(__file__, 'rb'), 10)\n"
        "application = validator(inner)\n"
    )
    assert app.get().body == app.path.read_bytes()
