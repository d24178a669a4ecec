"""The guest book in Django's admin."""

from django.contrib import admin

from entries.models import Entry


@admin.register(Entry)
class EntryAdmin(admin.ModelAdmin):
    list_display = ["name", "message", "written"]
    search_fields = ["name", "message"]
    date_hierarchy = "written"
