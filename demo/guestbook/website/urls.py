"""The guest book at the root, Django's admin beside it."""

from django.contrib import admin
from django.urls import path

from entries.views import guest_book

urlpatterns = [
    path("", guest_book, name="guest-book"),
    path("admin/", admin.site.urls),
]
