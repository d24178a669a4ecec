"""A Flask application: routing, a form, JSON, an upload, streaming, a file, a session."""

from flask import Flask, Response, jsonify, redirect, request, send_file, session, url_for

application = Flask("flask_site")
application.secret_key = "only for tests"


@application.get("/")
def index():
    return f"flask at {url_for('index')}"


@application.post("/form")
def form():
    session["name"] = request.form["name"]
    return redirect(url_for("name"))


@application.get("/name")
def name():
    return session.get("name", "nobody")


@application.post("/json")
def json():
    return jsonify(sum=sum(request.get_json()))


@application.post("/upload")
def upload():
    file = request.files["file"]
    return jsonify(name=file.filename, size=len(file.read()))


@application.get("/stream")
def stream():
    return Response((f"line {number}\n" for number in range(1000)), mimetype="text/plain")


@application.get("/file")
def file():
    return send_file(__file__, mimetype="text/plain")


@application.get("/error")
def error():
    raise RuntimeError("an error in a view")
