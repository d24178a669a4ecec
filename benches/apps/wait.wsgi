"""Waits for a millisecond in the middle, as for a database, then answers like hello.wsgi."""

import time


def application(environ, start_response):
    time.sleep(0.001)
    body = b"Hello, World!"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
