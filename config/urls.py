"""Addresses of the whole site."""

from allauth.account.decorators import secure_admin_login
from django.contrib import admin
from django.http import HttpRequest, HttpResponseRedirect
from django.templatetags.static import static
from django.urls import include, path

from config import health
from config.api import api
from releases.views.user import address_is_fixed

# The admin's own form asks for a password only; the one way in asks for the second factor as well.
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]

#: What whoever keeps the installation looks after there. Everything else that libraries register is taken out: with an
#: address, a second factor or a company log-in of their own choice they could log in as anybody and vote.
_ADMINISTERED = frozenset({"axes.accessattempt", "axes.accessfailurelog", "axes.accesslog"})
for _model in list(admin.site._registry):
    if _model._meta.label_lower not in _ADMINISTERED:
        admin.site.unregister(_model)


def icon(request: HttpRequest) -> HttpResponseRedirect:
    """Browsers ask here for the icon of what is no page, such as a download or an answer of the API."""
    return HttpResponseRedirect(static("icons/icon.svg"))


handler400 = "config.failures.malformed"
handler403 = "config.failures.forbidden"
handler404 = "config.failures.missing"
handler500 = "config.failures.failed"

urlpatterns = [
    path("favicon.ico", icon, name="icon"),
    path("healthz", health.alive, name="alive"),
    path("healthz/ready", health.ready, name="ready"),
    path("accounts/email/", address_is_fixed),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("api/", api.urls),
    path("runs/", include("checks.urls")),
    path("monitoring/", include("monitoring.urls")),
    path("", include("releases.urls")),
]
