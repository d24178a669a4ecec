"""Runs the Python that comes as the request's body and answers what it leaves in `result`, as JSON."""

import json


def application(environ, start_response):
    names = {"environ": environ}
    exec(environ["wsgi.input"].read(), names)
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(names.get("result"), default=repr).encode()]
