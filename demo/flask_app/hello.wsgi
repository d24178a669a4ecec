"""A Flask application beside the Django site, in a sub-interpreter of its own."""

import platform
from itertools import count

from flask import Flask, jsonify, render_template_string, request

application = Flask(__name__)
visits = count(1)

PAGE = """<!doctype html>
<html lang="en">
<title>Flask</title>
<h1>Hello{{ ' ' + name if name }} from Flask</h1>
<p>Visit {{ visit }} to this interpreter. <a href="{{ url_for('hello', name='you') }}">Greet me</a> ·
<a href="{{ url_for('facts') }}">Facts as JSON</a> · <a href="/">The Django site</a></p>
</html>
"""


@application.get("/")
@application.get("/hello/<name>")
def hello(name: str = "") -> str:
    return render_template_string(PAGE, name=name, visit=next(visits))


@application.get("/facts")
def facts():
    environ = request.environ
    return jsonify(
        server=environ["SERVER_SOFTWARE"],
        python=platform.python_version(),
        process_group=environ["mod_wsgi.process_group"],
        application_group=environ["mod_wsgi.application_group"],
        script_name=environ["SCRIPT_NAME"],
    )
