"""Answers with the name of its file, so that a test sees which script it has reached."""

import os


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [os.path.basename(__file__).encode()]
