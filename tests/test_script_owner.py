"""script-user and script-group: what a process of the group looks at itself, on the file that it has opened."""

import os
import shutil

import pytest

from harness.access import location
from harness.checklist import line, ours

pytestmark = [ours, pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")]

# Descriptor 4 is the listening socket of the process (docs/wire.md): as soon as it can be read, a child of httpd's has
# looked at the script and passed a request on. Nobody takes that as long as this script is being loaded.
SWAP = """
import os, select
select.select([4], [], [])
os.replace({other!r}, {script!r})
print("swapped")
"""
SCRIPT = """
def answer(environ, start_response):
    start_response("200 OK", [("Content-Length", "3")])
    return [b"ran"]

application = handle_request = answer

def allow_access(environ, host):
    return True
"""
GROUP = "threads=2 user=games home=/ "
SWAPPING = "WSGIImportScript {scripts}/swap.py process-group=daemon application-group=%{GLOBAL}\n"


def given(path, owner):
    path.write_text(SCRIPT)
    path.chmod(0o644)
    shutil.chown(path, owner, owner)


@pytest.fixture
def swapping(new_daemon):
    """Makes a site whose process puts another file in the place of `own/app.py` when a request for it is on its way."""

    def make(options, config, other_owner):
        site = new_daemon(GROUP + options, config + SWAPPING)
        own = site.root / "own"
        own.mkdir(mode=0o755)
        shutil.chown(own, "games", "games")
        given(own / "app.py", "games")
        given(own / "other.py", other_owner)
        source = SWAP.format(other=str(own / "other.py"), script=str(own / "app.py"))
        (site.scripts / "swap.py").write_text(source)
        site.log.expect("swapped$")
        return site.start()

    return make


ALIAS = "WSGIScriptAlias /own {root}/own/app.py application-group=%{GLOBAL}\n"
HANDLER = "WSGIHandlerScript own {root}/own/app.py application-group=%{GLOBAL}\n<Location /own>\n  SetHandler own\n</Location>\n"
ACCESS = location("/own", "WSGIAccessScript {root}/own/app.py process-group=daemon application-group=%{GLOBAL}")


@line("OPT-41")
@pytest.mark.parametrize(
    ("option", "code", "fault"),
    [
        ("script-user=games", "WSGI0162", "belongs to user .* and not to script-user"),
        ("script-group=games", "WSGI0153", "belongs to group .* and not to script-group"),
    ],
)
@pytest.mark.parametrize("config", [ALIAS, HANDLER], ids=["alias", "handler"])
def test_a_script_that_is_swapped_after_httpd_has_looked_is_not_run(swapping, option, code, fault, config):
    site = swapping(option, config, "daemon")
    site.log.expect(rf"{code}: script is not to be run by daemon process 'daemon': '.*own/app.py' {fault}.*; answering 403")
    assert site.get("/own").status == 403


@line("OPT-41")
def test_an_access_script_that_is_swapped_after_httpd_has_looked_is_not_asked(swapping):
    site = swapping("script-user=games", ACCESS, "daemon")
    site.log.expect("WSGI0162.*own/app.py' belongs to user.*; what it was asked has no answer")
    site.log.expect("WSGI0057")
    assert site.get("/own").status == 403


@line("OPT-41")
def test_a_script_that_the_owner_swaps_is_run(swapping):
    site = swapping("script-user=games", ALIAS, "games")
    assert site.get("/own").body == b"ran"


PRELOADED = "WSGIScriptAlias /own {root}/own/app.py process-group=daemon application-group=%{GLOBAL}\n"


@pytest.fixture
def preloading(new_daemon):
    """Makes a site with this line, whose script `own/app.py` is of the user daemon and says so when it runs."""

    def make(config):
        site = new_daemon("threads=2 script-user=games", config)
        own = site.root / "own"
        own.mkdir(mode=0o755)
        shutil.chown(own, "games", "games")
        given(own / "app.py", "daemon")
        with open(own / "app.py", "a") as script:
            script.write("print('it runs')\n")
        return site

    return make


@line("OPT-41", "MAP-23")
def test_an_aliass_script_of_another_owner_is_not_loaded_at_start_and_runs_once_it_is_the_owners(preloading):
    site = preloading(PRELOADED)
    site.log.expect("WSGI0162.*own/app.py' belongs to user.*; the first request tries again")
    site.start()
    site.log.wait_for("WSGI0162")
    assert not site.log.matching("it runs")
    shutil.chown(site.root / "own" / "app.py", "games")
    site.log.expect("it runs")
    assert site.get("/own").body == b"ran"


@line("OPT-41", "MAP-26")
def test_an_import_script_is_run_whoever_it_belongs_to(preloading):
    site = preloading("WSGIImportScript {root}/own/app.py process-group=daemon application-group=%{GLOBAL}\n")
    site.log.expect("it runs")
    site.start()
    site.log.wait_for("it runs")


@line("OPT-41", "MAP-26")
def test_an_import_script_that_an_alias_names_too_is_looked_at(preloading):
    site = preloading("WSGIImportScript {root}/own/app.py process-group=daemon application-group=%{GLOBAL}\n" + PRELOADED)
    site.log.expect("WSGI0162.*; the first request tries again")
    site.start()
    site.log.wait_for("WSGI0162")
    assert not site.log.matching("it runs")
