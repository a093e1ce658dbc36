"""What is answered when a request fails: a server that is away or full is no mistake of the program.

Django's own views for this look for the token of a form first. In a body that cannot be read they fail themselves, and
what was a wrong address becomes a mistake of the program. Nothing here reads the body.
"""

import sys
from dataclasses import dataclass

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from psycopg.errors import DiskFull
from redis import RedisError

RETRY_AFTER_SECONDS = 10
UNAVAILABLE = (OperationalError, InterfaceError, RedisError)


@dataclass(frozen=True)
class Outage:
    """``happened`` and ``mend`` are sentences for the page and the API."""

    happened: str
    mend: str


WAIT = "Wait a few seconds, then try again. If it lasts, tell whoever runs this program."
FULL = Outage(
    "The disk of the database is full, so nothing new can be kept.",
    "Free some space where the database keeps its data; everything then goes on by itself. Then try again.",
)
DATABASE = Outage("The database does not answer, or stopped before it had answered.", WAIT)
REDIS = Outage("Redis does not answer, and this needs it.", WAIT)


def outage(error: BaseException) -> Outage:
    """What is away or full, told by one of UNAVAILABLE."""
    if isinstance(error, RedisError):
        return REDIS
    return FULL if isinstance(error.__cause__, DiskFull) else DATABASE


def failed(request: HttpRequest) -> HttpResponse:
    """The answer for what no view has caught; Django calls it while the exception is being handled."""
    error = sys.exc_info()[1]
    if not isinstance(error, UNAVAILABLE):
        return HttpResponse(render_to_string("500.html"), status=500)
    found = outage(error)
    if request.path.startswith("/api/"):
        answer: HttpResponse = JsonResponse({"detail": f"{found.happened} {found.mend}", "field": ""}, status=503)
    else:
        answer = HttpResponse(render_to_string("503.html", {"outage": found}), status=503)
    answer["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return answer


def unread(request: HttpRequest, status: int, limit: int) -> HttpResponse:
    """The answer for a body that was too long (413) or too slow (408) to be let in."""
    happened = "What was sent did not arrive in time."
    if status == 413:
        happened = f"What was sent is longer than {limit // 1024**2:,} MB, the most that is taken here from you."
    mend = "Send it again, less of it or over a faster line."
    if status == 413:
        mend = "Send less; where you upload something, log in first or send a valid key."
    if request.path.startswith("/api/"):
        return JsonResponse({"detail": f"{happened} Nothing was kept. {mend}", "field": ""}, status=status)
    context = {"happened": happened, "mend": mend, "status": status}
    return HttpResponse(render_to_string("413.html", context), status=status)


def malformed(request: HttpRequest, exception: Exception) -> HttpResponse:
    return HttpResponse(render_to_string("400.html", request=request), status=400)


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _told(request, exception, "403.html", 403)


def missing(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _told(request, exception, "404.html", 404)


def _told(request: HttpRequest, exception: Exception, template: str, status: int) -> HttpResponse:
    """With the sentence that the view gave, if it gave one: the resolver gives a list of every address there is."""
    said = exception.args[0] if exception.args and isinstance(exception.args[0], str) else ""
    return HttpResponse(render_to_string(template, {"exception": said}, request), status=status)
