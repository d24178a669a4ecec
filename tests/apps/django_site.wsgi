"""The Django test site."""

import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
os.environ["DJANGO_SETTINGS_MODULE"] = "django_site.settings"

from django.core.wsgi import get_wsgi_application  # noqa: E402

application = get_wsgi_application()
