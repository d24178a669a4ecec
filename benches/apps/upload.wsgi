"""Reads the request's body in blocks of 64 KiB, as frameworks do, and answers like hello.wsgi."""


def application(environ, start_response):
    read = environ["wsgi.input"].read
    remaining = int(environ["CONTENT_LENGTH"])
    while remaining:
        block = read(min(65536, remaining))
        if not block:
            raise EOFError("the body is shorter than its Content-Length")
        remaining -= len(block)
    body = b"Hello, World!"
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
