"""Runs the support package on any Python, without native code. See `native.py`."""

import os
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.dirname(HERE)]
# These tests run from the source tree, which must stay as it is.
sys.dont_write_bytecode = True

import native  # noqa: E402
import pytest  # noqa: E402


@pytest.fixture
def host():
    """The native module, fresh."""
    native.HOST.reset()
    return native.HOST


@pytest.fixture
def request_(host):
    """A request that the test's thread is in."""
    from wsgi_host.streams import Errors

    request = native.Request(host)
    request.errors = Errors(request)
    host.enter(request)
    yield request
    host.enter(None)


@pytest.fixture
def interpreter(host, monkeypatch):
    """`setup()` for one interpreter; what it changed in this process is put back."""
    from wsgi_host import interpreter

    for name in ("stdin", "stdout", "stderr", "argv"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(signal, "signal", signal.signal)
    interval = sys.getswitchinterval()
    modules = {name: sys.modules.pop(name, None) for name in ("mod_wsgi", "apache")}
    yield interpreter
    sys.setswitchinterval(interval)
    for name, module in modules.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module
