"""A Bottle application."""

from bottle import Bottle, request, static_file

application = Bottle()


@application.get("/hello/<name>")
def hello(name):
    return f"Hello, {name}!"


@application.post("/form")
def form():
    return f"name={request.forms.name}"


@application.get("/stream")
def stream():
    for number in range(1000):
        yield f"line {number}\n"


@application.get("/file")
def file():
    directory, _, name = __file__.rpartition("/")
    return static_file(name, root=directory, mimetype="text/plain")
