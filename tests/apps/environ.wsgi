"""Answers with its environ: the values (those that JSON can hold) and the type of each."""

import json


def application(environ, start_response):
    document = {
        "values": {key: value for key, value in environ.items() if isinstance(value, (str, int, float, tuple))},
        "types": {key: type(value).__name__ for key, value in environ.items()},
    }
    body = json.dumps(document).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
