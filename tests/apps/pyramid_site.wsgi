"""A Pyramid application."""

from pyramid.config import Configurator
from pyramid.response import FileResponse, Response


def hello(request):
    return Response(f"Hello, {request.matchdict['name']}!")


def form(request):
    return {"name": request.POST["name"]}


def file(request):
    return FileResponse(__file__, request=request, content_type="text/plain")


with Configurator() as config:
    config.add_route("hello", "/hello/{name}")
    config.add_view(hello, route_name="hello")
    config.add_route("form", "/form")
    config.add_view(form, route_name="form", renderer="json")
    config.add_route("file", "/file")
    config.add_view(file, route_name="file")
    application = config.make_wsgi_app()
