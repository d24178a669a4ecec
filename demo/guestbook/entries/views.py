"""The guest book's one page: what was written, and the form to write more."""

import platform

import django
from django.core.paginator import Paginator
from django.shortcuts import redirect, render

from entries.forms import EntryForm
from entries.models import Entry


def guest_book(request):
    form = EntryForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        form.save()
        return redirect("guest-book")
    page = Paginator(Entry.objects.all(), 20).get_page(request.GET.get("page"))
    return render(request, "entries/guest_book.html", {"form": form, "page": page, "facts": facts(request)})


def facts(request) -> dict[str, object]:
    """Where this request is being served, for the foot of the page."""
    environ = request.META
    return {
        "Server": environ.get("SERVER_SOFTWARE", ""),
        "Python": platform.python_version(),
        "Django": django.get_version(),
        "process group": environ.get("mod_wsgi.process_group") or "(embedded: an httpd child)",
        "application group": environ.get("mod_wsgi.application_group") or "%{GLOBAL}: the main interpreter",
        "several threads": environ.get("wsgi.multithread"),
        "several processes": environ.get("wsgi.multiprocess"),
    }
