"""Who is asking."""

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from releases.models import User


def person(request: HttpRequest) -> User:
    """The logged-in person of a request; PermissionDenied (403) where there is none."""
    if isinstance(request.user, User):
        return request.user
    raise PermissionDenied("Log in first.")
