"""Real applications: Django with its admin, Flask, Bottle, Pyramid, each in the main and in a sub-interpreter."""

import hashlib
import json
import os
import re
import subprocess

import pytest

from conftest import run
from harness import installation
from harness.checklist import smoke
from harness.site import Site
from test_pythons import version

# A group for each: frameworks in use at the same time must not know of each other.
MOUNTS = {"main": "%{GLOBAL}", "sub": "%{RESOURCE}"}

FORM = ("Content-Type", "application/x-www-form-urlencoded")
LINES = "".join(f"line {number}\n" for number in range(1000))
# The Django site under the validator. As an alias of its own it is a group of its own under %{RESOURCE}.
VALIDATED = """
import os, sys
from wsgiref.validate import validator

sys.path.insert(0, os.path.dirname(__file__))
os.environ["DJANGO_SETTINGS_MODULE"] = "django_site.settings"

from django.core.wsgi import get_wsgi_application

application = validator(get_wsgi_application())
"""
FRAMEWORKS = ("django", "flask", "bottle", "pyramid")


@pytest.fixture(scope="module", params=[*MOUNTS] if installation.IS_OURS else ["main"])
def site(request, door):
    """One httpd with all frameworks; Django's database and static files are made before it starts."""
    if request.param == "sub" and not door.is_daemon and version(installation.PYTHON_HOME) < (3, 11):
        pytest.skip("sqlite3 of Python 3.10 hangs in a sub-interpreter")
    group = MOUNTS[request.param]
    aliases = "".join(
        f"WSGIScriptAlias /{name} {{apps}}/{name}_site.wsgi application-group={group}\n" for name in FRAMEWORKS
    )
    aliases += f"WSGIScriptAlias /validated {{apps}}/django_validated.wsgi application-group={group}\n"
    aliases = aliases.replace("/django ", "/site ") + "Alias /static {root}/state/static\n"
    environment = {}
    site = Site(door, aliases, environment=environment)
    environment["DJANGO_SITE_STATE"] = str(make_django(site))
    (site.apps / "django_validated.wsgi").write_text(VALIDATED)
    yield from run(site)


def make_django(site):
    state = site.root / "state"
    state.mkdir()
    state.chmod(0o777)
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(site.apps),
        "DJANGO_SETTINGS_MODULE": "django_site.settings",
        "DJANGO_SITE_STATE": str(state),
        "DJANGO_SUPERUSER_PASSWORD": "secret",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    for arguments in (
        ["migrate", "--verbosity=0"],
        ["collectstatic", "--noinput", "--verbosity=0"],
        ["createsuperuser", "--noinput", "--username=admin", "--email=admin@example.org"],
    ):
        command = [installation.PYTHON_HOME / "bin" / "python", "-m", "django", *arguments]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    (state / "database.sqlite3").chmod(0o666)
    return state


class Browser:
    """Keeps cookies and follows no redirects."""

    def __init__(self, site):
        self.site = site
        self.cookies = {}

    def get(self, target):
        return self._request("GET", target)

    def post(self, target, **fields):
        from urllib.parse import urlencode

        fields["csrfmiddlewaretoken"] = self.cookies.get("csrftoken", "")
        return self._request("POST", target, [FORM], urlencode(fields).encode())

    def _request(self, method, target, headers=(), body=None):
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        response = self.site.request(method, target, [*headers, *([("Cookie", cookie)] if cookie else [])], body)
        for line in response.all("Set-Cookie"):
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return response


def multipart(fields, file_name, data):
    """Content type and body of a form with one file."""
    parts = [
        f'--XX\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    head = f'--XX\r\nContent-Disposition: form-data; name="file"; filename="{file_name}"\r\n\r\n'.encode()
    return [("Content-Type", "multipart/form-data; boundary=XX")], b"".join([*parts, head, data, b"\r\n--XX--\r\n"])


# -- Django


@smoke
def test_django_admin_can_be_logged_into_and_used(site):
    browser = Browser(site)
    assert browser.get("/site/admin/").status == 302
    assert browser.get("/site/admin/login/").status == 200
    response = browser.post("/site/admin/login/", username="admin", password="secret", next="/site/admin/")
    assert (response.status, response.header("Location")) == (302, "/site/admin/")
    assert "Site administration" in browser.get("/site/admin/").text
    assert browser.get("/site/admin/auth/group/add/").status == 200
    response = browser.post("/site/admin/auth/group/add/", name="editors", _save="Save")
    assert response.status == 302
    assert "editors" in browser.get("/site/admin/auth/group/").text


def test_django_admin_refuses_a_wrong_password(site):
    browser = Browser(site)
    browser.get("/site/admin/login/")
    response = browser.post("/site/admin/login/", username="admin", password="wrong", next="/site/admin/")
    assert response.status == 200 and "Please enter the correct username" in response.text


def test_the_static_files_of_django_admin_come_from_httpd(site):
    browser = Browser(site)
    page = browser.get("/site/admin/login/").text
    (style, *_) = re.findall(r'href="(/static/[^"]*\.css)"', page)
    response = site.get(style)
    assert (response.status, response.header("Content-Type")) == (200, "text/css")


def test_a_django_form_is_checked_and_redirects(site):
    browser = Browser(site)
    assert 'name="name"' in browser.get("/site/form").text
    assert "at most 20 characters" in browser.post("/site/form", name="x" * 30).text
    response = browser.post("/site/form", name="Zoë")
    assert response.status == 302
    assert browser.get(response.header("Location")).text == "Hello, Zoë!"


def test_a_django_form_without_its_token_is_refused(site, log):
    log.allow("Forbidden")
    assert site.request("POST", "/site/form", [FORM], b"name=x").status == 403


@pytest.mark.parametrize("size", [10, 5_000_000])
def test_a_django_upload_arrives_whole(site, size):
    data = os.urandom(size)
    headers, body = multipart({"note": "a note"}, "file.bin", data)
    response = site.request("POST", "/site/upload", headers, body)
    assert json.loads(response.body) == {
        "name": "file.bin",
        "sha256": hashlib.sha256(data).hexdigest(),
        "note": "a note",
    }


def test_a_django_response_streams(site):
    response = site.get("/site/stream")
    assert (response.is_chunked, response.text) == (True, LINES)


def test_a_django_file_response_is_the_file(site):
    path = site.apps / "django_site" / "urls.py"
    response = site.get("/site/file")
    assert (response.header("Content-Length"), response.body) == (str(path.stat().st_size), path.read_bytes())


def test_an_error_in_a_django_view_gets_its_500_page_and_a_traceback_in_the_log(site, log):
    log.expect("Internal Server Error: /site/error")
    log.expect_traceback("RuntimeError: an error in a view")
    response = site.get("/site/error")
    assert response.status == 500 and "Server Error (500)" in response.text


def test_the_validator_has_nothing_to_say_of_django(site):
    """Its assertions would be exceptions in the error log, and 500."""
    assert site.get("/validated/hello/x?y=1").text == "Hello, x!"
    assert site.request("HEAD", "/validated/hello/x").status == 200
    assert site.get("/validated/admin/login/").status == 200
    assert site.get("/validated/stream").text == LINES
    assert site.get("/validated/file").status == 200
    headers, body = multipart({"note": "a note"}, "file.bin", b"x" * 100_000)
    assert json.loads(site.request("POST", "/validated/upload", headers, body).body)["note"] == "a note"
    browser = Browser(site)
    browser.get("/validated/form")
    assert browser.post("/validated/form", name="x").status == 302


# -- Flask


def test_a_flask_application_knows_where_it_is_mounted(site):
    assert site.get("/flask/").text == "flask at /flask/"


def test_a_flask_form_keeps_a_session(site):
    browser = Browser(site)
    response = browser.post("/flask/form", name="Zoë")
    assert (response.status, response.header("Location")) == (302, "/flask/name")
    assert browser.get("/flask/name").text == "Zoë"


def test_flask_takes_json_and_uploads(site):
    response = site.request("POST", "/flask/json", [("Content-Type", "application/json")], b"[1, 2, 3]")
    assert json.loads(response.body) == {"sum": 6}
    headers, body = multipart({}, "f.txt", b"x" * 100_000)
    assert json.loads(site.request("POST", "/flask/upload", headers, body).body) == {"name": "f.txt", "size": 100_000}


def test_flask_streams_and_sends_files(site):
    assert site.get("/flask/stream").text == LINES
    path = site.apps / "flask_site.wsgi"
    response = site.get("/flask/file")
    assert (response.header("Content-Length"), response.body) == (str(path.stat().st_size), path.read_bytes())
    assert site.get("/flask/file", [("If-None-Match", response.header("ETag"))]).status == 304


def test_an_error_in_a_flask_view_gets_its_500_page_and_a_traceback_in_the_log(site, log):
    log.expect("Exception on /error")
    log.expect_traceback("RuntimeError: an error in a view")
    assert "Internal Server Error" in site.get("/flask/error").text


# -- Bottle and Pyramid


@pytest.mark.parametrize("mount", ["/bottle", "/pyramid"])
def test_a_small_framework_routes_and_takes_forms(site, mount):
    assert site.get(f"{mount}/hello/Zo%C3%AB").text == "Hello, Zoë!"
    assert site.get(f"{mount}/nowhere").status == 404
    form = site.request("POST", f"{mount}/form", [FORM], "name=Zoë".encode()).body
    assert form in ("name=Zoë".encode(), b'{"name": "Zo\\u00eb"}', '{"name": "Zoë"}'.encode())


@pytest.mark.parametrize("name", ["bottle", "pyramid"])
def test_a_small_framework_sends_a_file(site, name):
    path = site.apps / f"{name}_site.wsgi"
    response = site.get(f"/{name}/file")
    assert (response.header("Content-Length"), response.body) == (str(path.stat().st_size), path.read_bytes())


def test_bottle_streams(site):
    assert site.get("/bottle/stream").text == LINES


def test_all_frameworks_answer_on_one_connection(site):
    with site.connect() as connection:
        for _ in range(3):
            for target in ("/site/hello/x", "/flask/", "/bottle/hello/x", "/pyramid/hello/x"):
                assert connection.get(target).status == 200
