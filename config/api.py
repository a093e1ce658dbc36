"""The API: one description, each app's own router."""

from django.http import HttpRequest, HttpResponse
from django.http.request import RawPostDataException
from ninja import NinjaAPI
from ninja.security import django_auth

from checks.api import router as checks_router
from checks.reports_api import router as reports_router
from releases.api import router as releases_router
from releases.errors import DomainError, NotAllowed, StateChanged

api = NinjaAPI(
    title="Go/No-Go",
    version="1",
    description="Times are UTC in ISO 8601. Log in by the pages first; the session's cookie is the key. "
    "Reports are sent with a key of their own.",
    auth=django_auth,
    urls_namespace="api",
)
api.add_router("/releases", releases_router)
api.add_router("/", checks_router)
api.add_router("/", reports_router)


@api.exception_handler(DomainError)
def refused(request: HttpRequest, error: DomainError) -> HttpResponse:
    """What the domain refuses: 403 for the wrong role, 409 for a change meanwhile, 422 for the rest."""
    status = 403 if isinstance(error, NotAllowed) else 409 if isinstance(error, StateChanged) else 422
    return api.create_response(request, {"detail": error.message, "field": error.field}, status=status)


@api.exception_handler(RawPostDataException)
def not_json(request: HttpRequest, error: RawPostDataException) -> HttpResponse:
    """A form was sent, and the check of its token has read it."""
    detail = "Send the body as JSON, and the token in the header X-CSRFToken. Nothing was changed."
    return api.create_response(request, {"detail": detail, "field": ""}, status=415)
