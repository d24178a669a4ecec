"""Computes for some hundred microseconds without letting go of the GIL, as templates and serialisers do, then answers like
hello.wsgi."""


def application(environ, start_response):
    total = 0
    for number in range(4000):
        total += number * number
    body = b"Hello, World!" if total else b""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
