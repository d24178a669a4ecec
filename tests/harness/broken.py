"""What a client must see of a response that the application did not finish."""

import pytest

from .http1 import Incomplete


def assert_breaks(site, target, sent, method="GET", all_of_it=True):
    """The response of `target` has the body `sent`, then breaks off, and nothing else comes on the connection.

    `all_of_it` False: it may also break off earlier, since httpd drops what it has not passed to the kernel yet.
    """
    with site.connect() as connection:
        connection.send_request(method, target)
        response = _incomplete(connection, method)
        assert response.status == 200
        assert response.body == sent or not all_of_it and sent.startswith(response.body)
        assert connection.rest() == b""
    # A second request waits behind the first: its response must never land in the first one's body. What the server
    # has not read when it closes makes the kernel reset the connection: the client may lose bytes from the end.
    with site.connect() as connection:
        head = f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.send((head + head).encode())
        response = _incomplete(connection, method)
        assert response is None or sent.startswith(response.body)
        assert connection.rest() == b""


def _incomplete(connection, method):
    """The part of the response that came; None if not even its head did."""
    with pytest.raises((Incomplete, ConnectionError)) as error:
        connection.response(method)
    return getattr(error.value, "response", None)
