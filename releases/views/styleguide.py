"""The living style guide: every component in every state, for those who write pages and for the tests of their look."""

import math
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from releases.templatetags.interface_charts import Chart, Mark, Series, chart
from releases.templatetags.interface_log import log_lines
from releases.templatetags.interface_states import GLYPHS, LOOKS

BUILD = "sha256:9f1c2e4b7a90d13355c8f26e0b1d4a7788a1c0de5f60718293a4b5c6d7e8e07a"


class Specimen(forms.Form):
    """A form with every kind of field; bound, it is refused."""

    version = forms.CharField(help_text="As the application itself names it.")
    environment = forms.ChoiceField(choices=[("staging", "staging"), ("production", "production")])
    vote = forms.ChoiceField(
        widget=forms.RadioSelect,
        choices=[("go", "Go"), ("concern", "Go, with concern"), ("hold", "Hold"), ("no_go", "No-go")],
    )
    reason = forms.CharField(widget=forms.Textarea, help_text="Kept with your vote, and read again after the release.")
    opens = forms.DateTimeField(required=False, label="Window opens")
    announce = forms.BooleanField(required=False, label="Announce the window to users")


@login_not_required
def styleguide(request: HttpRequest) -> HttpResponse:
    """Show the style guide with DEBUG, or to an administrator; nobody else learns that it exists."""
    if not (settings.DEBUG or getattr(request.user, "is_superuser", False)):
        raise Http404
    return render(request, "styleguide.html", specimens(timezone.now()))


def specimens(now: datetime) -> dict[str, Any]:
    """The context of the style guide, as seen at ``now``."""
    return {
        "nav": "releases",
        "person_role": "release manager",
        "waiting_count": 2,
        "glyphs": list(GLYPHS),
        "looks": {kind: list(states) for kind, states in LOOKS.items()},
        "tones": ["go", "hold", "nogo", "idle", "live"],
        "now": now,
        "build": BUILD,
        "opens": now + timedelta(days=4, hours=9),
        "closes": now + timedelta(days=4, hours=11),
        "blockers": [
            {"subject": "Load test", "text": "95th percentile 612 ms at 40 users, limit 400 ms", "url": "#load"},
            {"subject": "Restore drill", "text": "evidence expires 40 m before the window opens", "url": "#drill"},
            {"subject": "Security", "text": "has not voted", "url": "#poll"},
        ],
        "stations": _stations(),
        "timeline_rows": _timeline_rows(now),
        "votes": _votes(now),
        "runs": _runs(now),
        "steps": _steps(now),
        "risks": _risks(),
        "load_chart": _load_chart(),
        "probe_chart": _probe_chart(now),
        "spark": [12, 14, 13, 18, 22, 19, None, 16, 15, 17, 24, 21],
        "uptime": ["up"] * 20 + ["slow", "down", "down", "slow"] + ["up"] * 19 + ["unknown"],
        "page": Paginator(range(241), 20).page(3),
        "form": Specimen(),
        "refused": Specimen({"version": "", "environment": "staging", "vote": "go", "opens": "soon"}),
        "log": _log(now),
    }


def _stations() -> list[dict[str, Any]]:
    rows: list[tuple[str, str, list[tuple[str, float]], float, str, str]] = [
        ("Testing", "go", [("go", 5)], 5, "5 of 5", "2,214 tests, 0 failed · acceptance signed by QA"),
        ("Security", "hold", [("go", 3), ("hold", 1)], 4, "3 of 4", "1 high finding accepted until 12 Dec"),
        ("Scalability", "no_go", [("go", 1), ("nogo", 1)], 2, "1 of 2", "knee at 38 users, expected traffic 60"),
        ("User data transition", "running", [("live", 62)], 100, "62 %", "1.2 M of 2.0 M rows, 0 differences"),
        ("Backup and recovery", "expiring", [("hold", 4)], 4, "4 of 4", "drill passed 5 d ago, valid 7 d"),
        ("Monitoring and alerts", "open", [], 3, "0 of 3", "no evidence yet"),
    ]
    return [
        {
            "name": name,
            "url": f"#{name.split()[0].lower()}",
            "state": state,
            "parts": parts,
            "total": total,
            "progress_label": label,
            "summary": f"{label} · {summary}",
            "letter": {"User data transition": "D", "Scalability": "C"}.get(name, name[0]),
        }
        for name, state, parts, total, label, summary in rows
    ]


def _timeline_rows(now: datetime) -> list[dict[str, Any]]:
    opens = now + timedelta(days=4, hours=9)
    day = timedelta(days=1)
    return [
        {"label": "Tests", "url": "#tests", "start": now - 2 * day, "end": now + 7 * day},
        {"label": "Audit", "url": "#audit", "start": now - 1.6 * day, "end": now + 6 * day},
        {"label": "Load test", "url": "#load", "start": now - 1.8 * day, "end": now + 5.5 * day, "failed": True},
        {"label": "Restore drill", "url": "#drill", "start": now - 2.6 * day, "end": opens - timedelta(minutes=40)},
        {"label": "Migration", "url": "#migration", "start": now - 1 * day, "end": None},
        {"label": "Transition", "start": now - 3 * day, "end": now - timedelta(hours=5)},
        {"label": "Test alert", "start": None, "end": None},
    ]


def _votes(now: datetime) -> list[dict[str, Any]]:
    return [
        {"station": "Release management", "person": "Mara Lind", "choice": "go", "at": now - timedelta(hours=2),
         "digest": BUILD, "counts": True},
        {"station": "Engineering", "person": "Jon Åberg", "choice": "concern", "at": now - timedelta(minutes=50),
         "comment": "Watch the schedule page under load.", "counts": True},
        {"station": "Data owner", "person": "Ines Roth", "choice": "go", "at": now - timedelta(days=1), "counts": False,
         "why_not": "the evidence changed after this vote: load test #30"},
        {"station": "Security", "choice": "none", "note": "reminded 12 m ago · cannot be the requester"},
    ]  # fmt: skip


def _runs(now: datetime) -> list[dict[str, Any]]:
    return [
        {"title": "User data transition #31", "url": "#31", "state": "running", "progress": 0.62, "left": 61,
         "started_at": now - timedelta(seconds=112)},
        {"title": "Load test #30", "url": "#30", "state": "failed", "summary": "p95 612 ms, limit 400 ms", "took": 303,
         "against": 0.38},
        {"title": "Migration rehearsal #29", "url": "#29", "state": "passed", "took": 41, "against": -0.03,
         "summary": "24 migrations, longest lock 0.4 s"},
        {"title": "Security audit #28", "url": "#28", "state": "errored", "took": 140.2, "against": 0.0,
         "summary": "the scanner could not reach https://staging.example.org"},
        {"title": "Deploy #27", "url": "#27", "state": "unknown", "took": None, "against": None,
         "summary": "the worker died in step 4; decide"},
    ]  # fmt: skip


def _steps(now: datetime) -> list[dict[str, Any]]:
    return [
        {"name": "Check the target", "state": "passed", "took": 0.4},
        {"name": "Warm up", "state": "passed", "took": 30},
        {"name": "Raise the load", "state": "running", "started_at": now - timedelta(seconds=160), "progress": 0.58,
         "doing": "40 of 70 users", "left": 118},
        {"name": "Ask the database", "state": "running", "started_at": now - timedelta(seconds=4), "progress": None},
        {"name": "Purge the cache", "state": "skipped", "took": None, "reason": "Skipped by Mara Lind."},
        {"name": "Open the door", "state": "failed", "took": 3.2, "reason": "/healthz answered 502, expected 200."},
        {"name": "Judge against limits", "state": "waiting", "took": None},
    ]  # fmt: skip


def _risks() -> list[dict[str, Any]]:
    return [
        {"title": "Performance under heavy load", "likelihood": 3, "impact": 5},
        {"title": "User disruption", "likelihood": 2, "impact": 4},
        {"title": "Server failures", "likelihood": 2, "impact": 4},
        {"title": "Data loss", "likelihood": 1, "impact": 5},
        {"title": "Privacy", "likelihood": 1, "impact": 3},
        {"title": "Security vulnerabilities", "likelihood": 1, "impact": 3},
        {"title": "Unforeseen technical challenges", "likelihood": 1, "impact": 3},
    ]


def _load_chart() -> Chart:
    users = range(0, 48, 2)
    return chart(
        [
            Series("95th percentile", [(u, 90 + 1.6 * u + max(0, u - 36) ** 2 * 2.6) for u in users], "live", "ms"),
            Series("requests", [(u, 215 * (1 - math.exp(-u / 16))) for u in users], "go", "/s", True, True),
        ],
        marks=[Mark(38, "knee, 38 users")],
        limit=400,
        x_label="users",
        times=False,
    )


def _probe_chart(now: datetime) -> Chart:
    start = now.timestamp() - 86_400
    points = [
        (start + 600 * step, None if 70 <= step <= 76 else 120 + 40 * math.sin(step / 9) + (step % 7) * 6)
        for step in range(145)
    ]
    return chart(
        [Series("response time", points, "live", "ms")],
        marks=[
            Mark(start + 600 * 69, "incident #4", until=start + 600 * 77),
            Mark(start + 600 * 120, "2025.2.2 live"),
        ],
        limit=300,
    )


def _log(now: datetime) -> dict[str, Any]:
    texts = [
        "$ locust --headless --processes 2 -f loadtests/attendee.py",
        "40 users  212.4 req/s  p50 88 ms  p95 391 ms  failures 0",
        "\x1b[32m40 users\x1b[0m  213.0 req/s  p50 90 ms  \x1b[1;33mp95 402 ms\x1b[0m  failures 0",
        "p95 402 ms is over the limit of 400 ms at 40 users (GET /democon/schedule/)",
        "the worker is asked to stop; 10 s of grace",
        "a line with a very long word: " + "0123456789abcdef" * 16,
    ]
    stamp = int(now.timestamp() * 1000)
    return {
        "html": log_lines(412, texts, "cooeno", [stamp + 900 * index for index in range(len(texts))]),
        "first": 412,
        "last": 411 + len(texts),
        "at": now,
    }
