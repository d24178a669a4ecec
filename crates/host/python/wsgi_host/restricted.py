"""The object that stands for a `sys` stream which the site has closed to applications."""


class Restricted:
    """Raises OSError for any attribute, so also for `hasattr()`; only `repr()` works.

    Source: docs of WSGIRestrictStdin and WSGIRestrictStdout.
    """

    __slots__ = ("_name",)

    def __init__(self, name):
        object.__setattr__(self, "_name", name)

    def __getattribute__(self, attribute):
        raise _refused(self)

    def __setattr__(self, attribute, value):
        raise _refused(self)

    def __delattr__(self, attribute):
        raise _refused(self)

    def __repr__(self):
        return f"<mod_wsgi.Restricted {object.__getattribute__(self, '_name')}>"


def _refused(stream):
    name = object.__getattribute__(stream, "_name")
    return OSError(f"{name} access restricted by mod_wsgi")
