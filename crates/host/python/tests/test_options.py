"""Settings of some interpreters apart."""

import sys

import pytest
from wsgi_host.options import Options

LAYERS = {
    "layers": "4",
    "layer.0.restrict_stdin": "1",
    "layer.0.python_path": "/all",
    "layer.1.application_group": "shop",
    "layer.1.restrict_stdin": "0",
    "layer.1.python_path": "/shop",
    "layer.1.switch_interval": "0.5",
    "layer.2.application_group": "",
    "layer.2.restrict_stdout": "1",
    "layer.3.application_group": "shop",
    "layer.3.restrict_stdout": "1",
}


@pytest.fixture
def options(host):
    def make(has_own_gil=False, **settings):
        return Options({**host.settings(), **LAYERS, **settings}, has_own_gil)

    return make


def test_layers_are_laid_over_each_other_for_the_group_that_they_are_for(options):
    seen = {group: options().of(group) for group in ("", "shop", "blog")}
    assert [seen[group]["restrict_stdin"] for group in seen] == ["1", "0", "1"]
    assert [seen[group]["restrict_stdout"] for group in seen] == ["1", "1", "0"]


def test_paths_add_up_from_the_processs_own_on(options):
    assert options(python_path="/own").python_paths("shop") == ["/own", "/all", "/shop"]
    assert options().python_paths("blog") == ["/all"]


def test_a_switch_interval_of_a_group_needs_a_gil_of_its_own(host, options):
    assert "switch_interval" not in options().of("shop")
    assert "WSGI0199" in host.text()[-1] and "'shop'" in host.text()[-1]
    host.lines.clear()
    assert options(has_own_gil=True).of("shop")["switch_interval"] == "0.5"
    assert options(switch_interval="0.25").of("blog")["switch_interval"] == "0.25"
    assert host.lines == []


def test_settings_without_layers_are_those_of_all(host):
    options = Options(host.settings(), False)
    assert options.of("any") == host.settings() and not options.depend_on_name()


def test_only_layers_for_application_groups_depend_on_the_name(host, options):
    assert options().depend_on_name()
    assert not Options({**host.settings(), "layers": "1", "layer.0.restrict_stdin": "1"}, False).depend_on_name()


def worker(host, **settings):
    host.values.update({"door": "daemon", "processes": "2", "threads": "4", "maximum_requests": "0", **LAYERS, **settings})


def test_a_worker_without_a_name_is_set_up_when_it_gets_one(host, interpreter, tmp_path):
    worker(host, **{"layer.1.python_path": str(tmp_path)})
    interpreter.setup(None)
    assert str(tmp_path) not in sys.path and "mod_wsgi" not in sys.modules
    host.registered["adopt"]("shop")
    assert sys.path[0] == str(tmp_path) and sys.getswitchinterval() == 0.5
    assert repr(sys.stdout) == "<mod_wsgi.Restricted sys.stdout>"
    assert sys.modules["mod_wsgi"].application_group == "shop"


def test_a_worker_that_has_its_name_is_set_up_at_once(host, interpreter, tmp_path):
    worker(host, **{"layer.1.python_path": str(tmp_path)})
    interpreter.setup("shop")
    assert sys.path[0] == str(tmp_path)
    assert sys.modules["mod_wsgi"].application_group == "shop"


def test_a_failure_when_the_name_comes_is_logged_and_not_raised(host, interpreter):
    worker(host, **{"layer.1.switch_interval": "odd"})
    interpreter.setup(None)
    host.registered["adopt"]("shop")
    assert any("WSGI0431" in line and "'shop'" in line for line in host.text())
