"""What `mod_wsgi` says of the requests that run, `request_data()` and `active_requests`, and what interrupts them.

Source: docs of `contextvars`; docs/python-api.md.
"""

from contextvars import ContextVar

import _wsgi_host

# The native half sets it in the Context that it makes for each request.
current_request = ContextVar("mod_wsgi.request")


class RequestTimeout(BaseException):
    """Raised in a request that has run past its limit; not an Exception, so that it is not swallowed."""


RequestTimeout.__module__ = "mod_wsgi"


def request_data():
    """The dict that belongs to the current request, empty at its beginning, for whoever wants to keep something there.

    It follows `contextvars`: asyncio tasks, and threads that run in a copy of the request's Context, have their
    request's. RuntimeError where there is no request, or it is over.
    """
    request = current_request.get(None)
    data = None if request is None else request.data
    if data is None:
        raise RuntimeError("no active request for thread")
    return data


def active_requests():
    """A dict of the requests that run in this interpreter: httpd's id of each, and its `request_data()`.

    The native half keeps it from then on. Called once: the dict is an attribute of `mod_wsgi` after that, and until
    somebody looks at it requests do not pay for it.
    """
    requests = {}
    _wsgi_host.track(requests)
    return requests
