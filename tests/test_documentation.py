"""What the documentation shows is what httpd accepts; what the module can say and be told has a section."""

import os
import pwd
import re
import shutil

import pytest

from harness import installation
from harness.access import BASIC, Guarded, basic, location
from harness.checklist import ours
from harness.door import EMBEDDED

pytestmark = ours

PROJECT = installation.PROJECT
PAGES = sorted([*PROJECT.glob("README.md"), *PROJECT.glob("docs/**/*.md")])
DIRECTIVE_PAGES = PROJECT / "docs" / "directives"
# What pages about access control take for granted.
AUTHENTICATION = ("authn_core", "auth_basic", "authz_user")
CONFIGURATIONS = sorted(PROJECT.glob("conf/*.conf"))
SOURCES = [
    path
    for directory in ("src", "crates")
    for path in sorted(PROJECT.glob(f"{directory}/**/*"))
    if path.suffix in (".rs", ".py") and "tests" not in path.parts
]

# A block whose fence says ```apache refused is wrong on purpose.
FENCED = re.compile(r"^( *)```apache(?P<refused> refused)?\n(?P<text>.*?)^\1```$", re.MULTILINE | re.DOTALL)


def blocks():
    for page in PAGES:
        for match in FENCED.finditer(text := page.read_text()):
            line_number = text.count("\n", 0, match.start()) + 1
            yield pytest.param(match["text"], bool(match["refused"]), id=f"{page.relative_to(PROJECT)}:{line_number}")


@pytest.mark.parametrize(("text", "is_refused"), list(blocks()))
def test_each_block_of_configuration_in_the_documentation_is_what_it_is_said_to_be(new_httpd, text, is_refused):
    result = new_httpd(modules=("dav", *AUTHENTICATION)).configtest(text)
    assert (result.returncode != 0) == is_refused, f"{text}\n{result.stderr}"


def test_blocks_of_configuration_are_found():
    """Each fence that begins with the word is one of the blocks above."""
    fences = sum(page.read_text().count("```apache") for page in PAGES)
    assert len(list(blocks())) == fences > 0


def sections(page, level, pattern):
    return re.findall(rf"^{'#' * level} ({pattern})$", (PROJECT / "docs" / page).read_text(), re.MULTILINE)


def directives():
    table = (PROJECT / "src" / "config" / "directive.rs").read_text()
    names = sorted(set(re.findall(r'c"<?(WSGI\w+)"', table)))
    assert len(names) > 20
    return names


def test_each_directive_has_one_page_and_each_page_is_a_directive():
    pages = [page.stem for page in DIRECTIVE_PAGES.glob("*") if page.name != "README.md"]
    assert sorted(pages) == directives()


def test_the_list_of_directives_names_each_once():
    rows = re.findall(r"^\| \[(\w+)\]\((\w+)\.md\) \|", (DIRECTIVE_PAGES / "README.md").read_text(), re.MULTILINE)
    assert sorted(rows) == [(name, name) for name in directives()]


@pytest.mark.parametrize("name", directives())
def test_the_page_of_a_directive_has_its_name_for_a_title_its_syntax_and_an_example(name):
    text = (DIRECTIVE_PAGES / f"{name}.md").read_text()
    assert re.findall(r"^# .*$", FENCED.sub("", text), re.MULTILINE) == [f"# {name}"]
    assert re.findall(r"^\| (Syntax|Context|Default) \|", text, re.MULTILINE) == ["Syntax", "Context", "Default"]
    assert re.search(rf"^\| Syntax \| `<?{name} ", text, re.MULTILINE)
    examples = [match["text"] for match in FENCED.finditer(text)]
    assert any(re.search(rf"^ *<?{name}\b", example, re.MULTILINE) for example in examples)


# What the scripts of pages take for granted.
GIVEN = """
staff = {"me"}
hashes = {"me": "secret"}
verify = str.__eq__
table_of = lambda workbook: workbook.read()
"""

WHERE = """
import mod_wsgi

def application(environ, start_response):
    start_response("200 OK", [])
    return [mod_wsgi.process_group.encode()]
"""

EXAMPLES = (
    "RemoteIPHeader X-Client\nRemoteIPInternalProxy 127.0.0.1\n"
    "WSGISocketPrefix {root}/wsgi\nWSGIDaemonProcess blue\nWSGIDaemonProcess green\n"
    + location("/internal", "WSGIAccessScript {root}/WSGIAccessScript.py")
    + location("/members", *BASIC, "WSGIAuthUserScript {root}/WSGIAuthUserScript.py")
    + location("/admin", *BASIC[:3], "WSGIAuthUserScript {known}", "WSGIAuthGroupScript {root}/WSGIAuthGroupScript.py",
               "Require wsgi-group staff")
    + location("/where", "WSGIDispatchScript {root}/WSGIDispatchScript.py")
    + "WSGIScriptAlias /where {root}/where.wsgi application-group=%{GLOBAL}\n"
    + "WSGIHandlerScript report {root}/WSGIHandlerScript.py application-group=%{GLOBAL}\n"
    + location("/reports", "SetHandler report")
)  # fmt: skip


@pytest.fixture
def examples():
    """A site that is guarded, directed and answered by the scripts that the pages of directives show."""
    site = Guarded(EMBEDDED, EXAMPLES, modules=("remoteip",))
    for path in DIRECTIVE_PAGES.glob("*.md"):
        for script in re.findall(r"^```python\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL):
            site.write(f"{path.stem}.py", GIVEN + script)
    site.write("where.wsgi", WHERE)
    for area in ("internal", "members", "admin", "reports"):
        site.page(f"{area}/page.html", area)
    try:
        yield site.start()
        site.stop()
        site.log.verify()
    finally:
        site.discard()


def test_the_scripts_on_the_pages_of_directives_do_what_the_pages_say(examples):
    assert len(list(examples.root.glob("WSGI*.py"))) == 5

    def status(path, *headers):
        return examples.get(path, headers).status

    examples.log.expect("WSGI0057", times=2)
    assert [status("/internal/page.html", ("X-Client", client)) for client in ("10.1.2.3", "192.0.2.1")] == [200, 403]
    assert status("/internal/page.html") == 403
    examples.log.expect("AH01617|AH01618", times=2)
    people = [("me", "secret"), ("me", "wrong"), ("you", "secret")]
    assert [status("/members/page.html", basic(*person)) for person in people] == [200, 401, 401]
    assert status("/admin/page.html", basic()) == 200
    assert examples.get("/where").text == "blue"
    assert examples.get("/where", [("X-Preview", "1")]).text == "green"
    assert examples.get("/reports/page.html").text == "reports"


def test_each_code_has_one_section_and_each_section_is_a_code():
    codes = set()
    for path in SOURCES:
        codes.update(re.findall(r"WSGI0\d{3}", path.read_text()))
    assert len(codes) > 20
    assert sorted(sections("error-reference.md", 2, r"WSGI\d{4}")) == sorted(codes)


def test_each_page_that_a_source_or_a_page_names_is_there():
    missing = {
        f"{path.relative_to(PROJECT)}: {name}"
        for path in [*SOURCES, *PAGES, *CONFIGURATIONS]
        for name in re.findall(r"docs/[\w/-]+\.md", path.read_text())
        if not (PROJECT / name).exists()
    }
    assert not missing


def test_each_link_of_a_page_leads_to_a_file_and_a_heading():
    broken = []
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
            if "://" in target:
                continue
            name, _, anchor = target.partition("#")
            file = (page.parent / name).resolve() if name else page
            if not file.exists() or anchor and anchor not in anchors(file):
                broken.append(f"{page.relative_to(PROJECT)}: {target}")
    assert not broken


def anchors(page):
    """The names of headings, as GitHub and most renderers make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


# -- conf/


def included(name, **definitions):
    """Configuration that includes a copy, at {root}, of conf/<name>.conf."""
    lines = [f'Define {key} "{value}"' for key, value in definitions.items()]
    return "\n".join([*lines, f"Include {{root}}/{name}.conf"])


def place(httpd, name):
    """Copies conf/<name>.conf to where `included` looks; a test cannot listen on port 80."""
    text = (PROJECT / "conf" / f"{name}.conf").read_text()
    (httpd.root / f"{name}.conf").write_text(text.replace("*:80>", f"*:{httpd.port}>"))


@pytest.mark.parametrize("path", CONFIGURATIONS, ids=lambda path: path.name)
def test_each_configuration_to_copy_from_is_accepted_as_it_is(new_httpd, path):
    result = new_httpd(modules=AUTHENTICATION).configtest(f"Include {path}")
    assert result.returncode == 0, result.stderr


def test_the_least_configuration_loads_the_module_and_serves_a_script(new_httpd):
    httpd = new_httpd(python_home=None)
    place(httpd, "wsgi")
    httpd.configure(included("wsgi", WSGI_MODULE=installation.WSGI_MODULE, WSGI_SITE=httpd.root / "hello"))
    # It loads the module itself.
    load = f"LoadModule wsgi_module {installation.WSGI_MODULE}\n"
    text = httpd.config_file.read_text()
    assert load in text
    httpd.config_file.write_text(text.replace(load, ""))
    (httpd.root / "hello").mkdir(mode=0o755)
    shutil.copy(installation.APPS / "named.wsgi", httpd.root / "hello" / "hello.wsgi")
    httpd.start()
    assert httpd.get("/hello").body == b"hello.wsgi"


def test_the_django_configuration_serves_a_project_and_its_static_files(new_httpd):
    environment = {}
    httpd = new_httpd(python_home=None, environment=environment)
    base = httpd.root / "mysite"
    for name in ("project", "static", "media", "state"):
        (base / name).mkdir(mode=0o755, parents=True)
    environment["DJANGO_SITE_STATE"] = str(base / "state")
    (base / "venv").symlink_to(installation.PYTHON_HOME)
    shutil.copytree(installation.APPS / "django_site", base / "project" / "django_site")
    (base / "static" / "site.css").write_text("body {}")
    (base / "media" / "upload.txt").write_text("uploaded")
    place(httpd, "django")
    names = {"DJANGO_SITE": base, "DJANGO_PROJECT": "django_site", "DJANGO_HOST": "django.test"}
    httpd.configure(included("django", **names))
    httpd.start()
    host = [("Host", "django.test")]
    assert httpd.get("/hello/Zo%C3%AB", host).text == "Hello, Zoë!"
    assert httpd.get("/static/site.css", host).body == b"body {}"
    assert httpd.get("/media/upload.txt", host).body == b"uploaded"


def test_the_flask_configuration_serves_an_application_below_a_path(new_httpd):
    httpd = new_httpd()
    (httpd.root / "shop").mkdir(mode=0o755)
    shutil.copy(installation.APPS / "flask_site.wsgi", httpd.root / "shop" / "shop.wsgi")
    place(httpd, "flask")
    httpd.configure(included("flask", FLASK_SITE=httpd.root / "shop"))
    httpd.start()
    assert httpd.get("/shop/").text == "flask at /shop/"


def test_the_daemon_configuration_serves_two_sites_as_two_users(new_httpd):
    httpd = new_httpd(python_home=None)
    script = "import os\ndef application(environ, start_response):\n    start_response('200 OK', [])\n"
    script += "    return [str(os.getuid()).encode()]\n"
    for name in ("shop", "blog"):
        (httpd.root / name).mkdir(mode=0o755)
        (httpd.root / name / "venv").symlink_to(installation.PYTHON_HOME)
        (httpd.root / name / "site.wsgi").write_text(script)
    place(httpd, "daemon")
    httpd.configure(included("daemon", SHOP_SITE=httpd.root / "shop", BLOG_SITE=httpd.root / "blog"))
    httpd.start()
    users = [int(httpd.get(url).body) for url in ("/shop", "/blog")]
    if os.getuid() == 0:
        assert users == [pwd.getpwnam("daemon").pw_uid, pwd.getpwnam("nobody").pw_uid]
    else:
        assert users == [os.getuid()] * 2


def test_the_access_configuration_guards_a_members_area(new_httpd):
    httpd = new_httpd(modules=AUTHENTICATION)
    (httpd.root / "members").mkdir(mode=0o755)
    (httpd.root / "members" / "auth.py").write_text(
        "def check_password(environ, user, password):\n    return password == 'secret'\n"
        "def groups_for_user(environ, user):\n    return ['staff'] if user == 'boss' else ['guests']\n"
    )
    (httpd.root / "htdocs" / "members" / "staff").mkdir(mode=0o755, parents=True)
    for page in ("members/page.html", "members/staff/page.html"):
        (httpd.root / "htdocs" / page).write_text("guarded")
    place(httpd, "access")
    httpd.configure("WSGIRestrictEmbedded On\n" + included("access", ACCESS_SITE=httpd.root / "members"))
    httpd.start()
    httpd.log.allow("AH0|WSGI0060")
    status = lambda page, *credentials: httpd.get(page, [basic(*credentials)] if credentials else []).status  # noqa: E731
    assert status("/members/page.html") == 401
    assert status("/members/page.html", "me", "wrong") == 401
    assert status("/members/page.html", "me", "secret") == 200
    assert status("/members/staff/page.html", "me", "secret") == 401
    assert status("/members/staff/page.html", "boss", "secret") == 200
