"""Extension modules in interpreters with a GIL of their own."""

import _imp
import sys
from types import SimpleNamespace

import pytest
from wsgi_host import extensions


@pytest.mark.parametrize(("version", "is_asked"), [((3, 12, 7), True), ((3, 11, 9), False), ((3, 13, 0), False)])
def test_on_3_12_each_module_goes_through_the_main_interpreter_first(host, monkeypatch, version, is_asked):
    order = host.calls
    monkeypatch.setattr(_imp, "create_dynamic", lambda spec, file=None: order.append(("create", spec.name)))
    monkeypatch.setattr(sys, "version_info", version)
    extensions.initialise_in_main_first()
    _imp.create_dynamic(SimpleNamespace(name="_x", origin="/lib/_x.so"))
    assert order == [("initialise", "_x", "/lib/_x.so")] * is_asked + [("create", "_x")]


def test_the_main_interpreter_keeps_nothing_of_a_module_that_it_did_not_have(monkeypatch):
    def create(spec):
        sys.modules[spec.name] = "made"

    monkeypatch.setattr(_imp, "create_dynamic", create)
    extensions.initialise("_of_nobody", "/lib/_of_nobody.so")
    assert "_of_nobody" not in sys.modules
    monkeypatch.setitem(sys.modules, "_of_somebody", "there")
    extensions.initialise("_of_somebody", "/lib/_of_somebody.so")
    assert "_of_somebody" in sys.modules


def test_a_module_that_cannot_be_initialised_is_the_askers_matter():
    extensions.initialise("_no_such", "/no/such/file.so")
