"""Views of the Django test site: a form, an upload, streaming, a file, an error."""

import hashlib
from pathlib import Path

from django import forms
from django.contrib import admin
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.csrf import csrf_exempt


class NameForm(forms.Form):
    name = forms.CharField(max_length=20)


def form(request):
    filled = NameForm(request.POST or None)
    if filled.is_valid():
        return redirect(f"/site/hello/{filled.cleaned_data['name']}")
    return render(request, "form.html", {"form": filled})


def hello(request, name):
    return HttpResponse(f"Hello, {name}!")


@csrf_exempt
def upload(request):
    digest = hashlib.sha256()
    for chunk in request.FILES["file"].chunks():
        digest.update(chunk)
    return JsonResponse(
        {"name": request.FILES["file"].name, "sha256": digest.hexdigest(), "note": request.POST["note"]}
    )


def stream(request):
    return StreamingHttpResponse((f"line {number}\n" for number in range(1000)), content_type="text/plain")


def file(request):
    return FileResponse(open(Path(__file__), "rb"))


def error(request):
    raise RuntimeError("an error in a view")


urlpatterns = [
    path("admin/", admin.site.urls),
    path("form", form),
    path("hello/<name>", hello),
    path("upload", upload),
    path("stream", stream),
    path("file", file),
    path("error", error),
]
