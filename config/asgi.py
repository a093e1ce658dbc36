"""The ASGI application: pages, API and event streams."""

import os

from django.core.asgi import get_asgi_application
from django.urls import get_resolver

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

application = get_asgi_application()

# Load every view now: the master process does it once for all its workers, and no first visitor waits for it.
get_resolver().url_patterns  # noqa: B018 - reading it is what loads it
