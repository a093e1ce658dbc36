"""Addresses of the whole site."""

from django.contrib import admin
from django.urls import include, path

from config import health
from config.api import api

urlpatterns = [
    path("healthz", health.alive, name="alive"),
    path("healthz/ready", health.ready, name="ready"),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("api/", api.urls),
    path("runs/", include("checks.urls")),
    path("monitoring/", include("monitoring.urls")),
    path("", include("releases.urls")),
]
