"""Marks on tests: which checklist line a test is, and whether mod_wsgi 6.1.1 can pass it."""

import pytest


def line(*ids):
    """`PY-n` is line n of the Python API's checklist, `CFG-nn`, `MAP-nn` … those of the directives' checklist."""
    return pytest.mark.line(*ids)


ours = pytest.mark.ours
# What mod_wsgi has wrong, or does otherwise, in daemon mode alone.
ours_in_daemon = pytest.mark.ours_in_daemon
smoke = pytest.mark.smoke
both_interpreters = pytest.mark.both_interpreters


def embedded_only(reason):
    """Not run through the daemon door: `reason` says what there is no counterpart for."""
    return pytest.mark.embedded_only(reason)
