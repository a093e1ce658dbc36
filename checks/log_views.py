"""The log of a run: live as server-sent events, in pieces for pages, and raw."""

from asgiref.sync import sync_to_async
from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseForbidden, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from checks import log_reading, streams
from checks.models import Run
from releases.listening import while_allowed
from releases.models import User
from releases.permissions import visible_applications
from releases.views.streaming import stream as streaming


def visible_run(user: User | AnonymousUser, number: int) -> Run:
    """The run, or 404 for those whom its application does not concern."""
    runs = Run.objects.select_related(
        "application", "release", "environment", "plan_version", "started_by", "cancel_requested_by"
    )
    return get_object_or_404(runs, number=number, application__in=visible_applications(user))


def _followed(user: User | AnonymousUser, number: int) -> Run:
    """As ``visible_run``, with no more of it than a stream needs: a thousand may come to watch one run."""
    runs = Run.objects.only("id", "application_id", "number")
    return get_object_or_404(runs, number=number, application__in=visible_applications(user))


@require_GET
async def stream(request: HttpRequest, number: int) -> HttpResponseBase:
    """Lines after Last-Event-ID (or ?after=), then as they come. Closed by the server when the log is sealed."""
    user = await request.auser()
    if not user.is_authenticated:
        return HttpResponseForbidden("Log in to follow this log.")
    run = await sync_to_async(_followed)(user, number)
    seen = streams.parse_place(request.headers.get("Last-Event-ID") or request.GET.get("after"))
    frames = while_allowed(streams.follow(run.id, run.log_channel, seen), user.pk, run.application_id)
    response = StreamingHttpResponse(frames, content_type="text/event-stream; charset=utf-8")
    response["Cache-Control"] = "no-cache, no-transform"
    response["X-Accel-Buffering"] = "no"
    return response


@login_required
@require_GET
def lines(request: HttpRequest, number: int) -> HttpResponse:
    """Rendered lines after ?after=attempt:line, for a viewer that found a gap."""
    run = visible_run(request.user, number)
    attempt, line = streams.parse_place(request.GET.get("after"))
    parts = log_reading.lines_after(run.id, attempt or run.attempt, line)
    response = HttpResponse("".join(part.to_html() for part in parts), content_type="text/html; charset=utf-8")
    last = parts[-1] if parts else None
    response["X-Log-Last"] = f"{last.attempt}:{last.last}" if last else f"{attempt or run.attempt}:{line}"
    return response


@login_required
@require_GET
def raw(request: HttpRequest, number: int) -> StreamingHttpResponse:
    """The whole log as text; ?attempt= for an earlier one."""
    run = visible_run(request.user, number)
    asked = request.GET.get("attempt", "")
    attempt = int(asked) if asked.isdecimal() and len(asked) < 6 else run.attempt
    name = f"run-{run.number}-attempt-{attempt}.log"
    return streaming(request, log_reading.raw(run, attempt), "text/plain; charset=utf-8", name)
