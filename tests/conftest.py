"""Fixtures: a site per test module and door, an application served from a test, and the watched error log."""

import pytest

pytest.register_assert_rewrite("harness")

from harness import installation, process  # noqa: E402
from harness.conformance import Conformance  # noqa: E402
from harness.door import DOORS, daemon  # noqa: E402
from harness.httpd import Httpd  # noqa: E402
from harness.site import MOUNTS, Site  # noqa: E402
from harness.worker import Worker  # noqa: E402


# In the container there are only dist/ and the tests.
if not (installation.PROJECT / "src").is_dir():
    collect_ignore = ["test_conformance.py", "test_demo.py", "test_documentation.py", "test_python_api.py", "test_worker.py"]


def pytest_addoption(parser):
    group = parser.getgroup("conformance", "the lines of tests/checklist.toml and their tests")
    group.addoption("--conformance", metavar="PATH", help="write the page, from a run of all the tests")
    group.addoption("--conformance-check", metavar="PATH", help="refuse to run if this page names tests that are not so")


def pytest_configure(config):
    process.adopt_orphans()
    config.pluginmanager.register(Conformance(config), "conformance")


def pytest_collection_modifyitems(config, items):
    deselected = [item for item in items if not is_run(item)]
    items[:] = [item for item in items if is_run(item)]
    config.hook.pytest_deselected(items=deselected)


def is_run(item):
    """The reference is not asked for what it has wrong, nor the daemon door for what only the embedded one has."""
    if not installation.IS_OURS and item.get_closest_marker("ours"):
        return False
    door = item.callspec.params.get("door") if hasattr(item, "callspec") else None
    if door is None or not door.is_daemon:
        return True
    if not installation.IS_OURS and item.get_closest_marker("ours_in_daemon"):
        return False
    return not item.get_closest_marker("embedded_only")


def pytest_generate_tests(metafunc):
    if "interpreter" in metafunc.fixturenames:
        # mod_wsgi 6.1.1 on Python 3.11 mixes the two up on threads that have served both, so it is asked for one only.
        both = installation.IS_OURS and metafunc.definition.get_closest_marker("both_interpreters")
        metafunc.parametrize("interpreter", list(MOUNTS) if both else ["main"])


def pytest_report_header():
    return f"httpd: {installation.httpd_binary()}, module: {installation.WSGI_MODULE}"


@pytest.fixture(scope="module", params=DOORS, ids=str)
def door(request):
    return request.param


@pytest.fixture(scope="module")
def site(request, door):
    """The module's httpd. The module may set CONFIG, HTTPD_MODULES, MPM, ENVIRONMENT and ALLOWED_AT_START (lines of the log)."""
    settings = {
        "config": "CONFIG",
        "modules": "HTTPD_MODULES",
        "mpm": "MPM",
        "environment": "ENVIRONMENT",
    }
    given = {key: getattr(request.module, name) for key, name in settings.items() if hasattr(request.module, name)}
    site = Site(door, **given)
    if hasattr(request.module, "ALLOWED_AT_START"):
        site.log.allow(request.module.ALLOWED_AT_START)
    yield from run(site)


def run(site):
    """Starts a httpd for the tests of a module; its end must be as quiet as its life."""
    try:
        yield site.start()
        site.log.begin()
        site.stop()
        site.log.verify()
    finally:
        site.discard()


@pytest.fixture
def log(site):
    """The error log of the module's httpd, for announcing what a test provokes."""
    return site.log


@pytest.fixture(autouse=True)
def quiet_log(request):
    """Fails a test that made httpd log something at `warn` or worse without announcing it."""
    if "site" not in request.fixturenames:
        yield
        return
    site = request.getfixturevalue("site")
    site.log.begin()
    yield
    site.log.verify()


@pytest.fixture
def start():
    """Starts workers without httpd and supervisor (harness/worker.py), and ends those that are left."""
    workers = []

    def start(*arguments, **options):
        workers.append(Worker(*arguments, **options))
        return workers[-1]

    yield start
    for worker in workers:
        worker.discard()


@pytest.fixture
def serve(site, interpreter):
    """Serves a function of the test as an application; returns its App."""
    return lambda application, **globals_: site.serve(application, mount=interpreter, **globals_)


@pytest.fixture
def serving(site, interpreter):
    """Tells the pid of the process in which the test's scripts run."""
    return lambda: site.process(interpreter)


@pytest.fixture
def script(site, interpreter):
    """Serves the text of a script; returns its App."""
    return lambda source, **names: site.script(source, mount=interpreter, **names)


@pytest.fixture
def new_httpd():
    """Makes httpds of a test's own; each is stopped, and its log checked, at the end of the test."""
    made = []

    def make(config="", door=None, **settings):
        httpd = Site(door, config, **settings) if door else Httpd(config, **settings)
        made.append(httpd)
        return httpd

    yield make
    try:
        for httpd in made:
            httpd.stop()
            httpd.log.verify()
    finally:
        for httpd in made:
            httpd.discard()


@pytest.fixture
def new_site(new_httpd, door):
    """Like `new_httpd`, with the mounts of a Site."""
    return lambda config="", **settings: new_httpd(config, door, **settings)


@pytest.fixture
def new_daemon(new_httpd):
    """Makes sites with one process group, `daemon`, of the given options; not started yet."""
    return lambda options="threads=4", config="", **settings: new_httpd(config, daemon(options), **settings)
