"""Extension modules in interpreters with a GIL of their own, on Python 3.12.

There, a module that does not support such interpreters is initialised in one before the import fails, which ruins its
static types for all others: a second import crashes the process. What the main interpreter has initialised before fails in
good order. Python 3.13 does that itself (CPython issue 117649).
"""

import sys

import _wsgi_host


def initialise_in_main_first() -> None:
    """Has every extension module of this interpreter go through the main one first, if this Python needs that."""
    if sys.version_info[:2] != (3, 12):
        return
    import _imp

    create = _imp.create_dynamic

    def create_dynamic(spec, file=None):
        _wsgi_host.initialise_in_main(spec.name, spec.origin)
        return create(spec, file)

    _imp.create_dynamic = create_dynamic


def initialise(name, origin) -> None:
    """In the main interpreter: initialises an extension module and keeps nothing of it; never raises."""
    import _imp
    from types import SimpleNamespace

    is_known = name in sys.modules
    try:
        # A module of several phases is only made by this, not executed.
        _imp.create_dynamic(SimpleNamespace(name=name, origin=origin))
    except BaseException:
        # The interpreter that asked meets the same, and raises it.
        pass
    finally:
        if not is_known:
            sys.modules.pop(name, None)
