"""The kind load, run for real: Locust in a child against a real server."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.files.storage import default_storage
from django.db import connection, connections
from django.test import Client
from django.urls import reverse
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

from checks import engine, services
from checks.models import Run
from checks.process import sweep
from releases.domain import environment as environments
from releases.models import Environment, Release, User
from tests.engine.support import check, log_text, run_section, start
from tests.factories import make_application, make_release, make_team
from tests.kinds_deploy.local_server import LocalServer, Reply, serving

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.campaign]

CONSENT = {"staging": {"by": "Operations", "on": "2026-01-01", "at_most": 50}}


def release_of(
    server: LocalServer, params: dict[str, Any], *, load: dict[str, Any] | None = None, database: str = ""
) -> Release:
    """``database``: whose statistics are read while the load goes on; the tests' own where none is named."""
    variables = {"DATABASE_URL": database or database_address()}
    places = {
        "staging": {"tier": "staging", "url": server.url, "variables": variables},
        "production": {"tier": "production", "url": server.url.replace("127.0.0.1", "localhost")},
    }
    plan = {
        "environments": places,
        "checks": {"load": check("load", params=params)},
        "load": {"consent": CONSENT, **(load or {})},
    }
    release = make_release(application=make_application(plan=plan))
    environments.adopt_build(
        environment=Environment.objects.get(application=release.application, name="staging"),
        version=release.version,
        build_digest=release.build_digest,
        actor=None,
        reason="Put there by the test.",
    )
    return release


def database_address() -> str:
    here = connection.settings_dict
    return f"postgresql://{here['USER']}:{here['PASSWORD']}@{here['HOST']}:{here['PORT']}/{here['NAME']}"


QUICK: dict[str, Any] = {
    "steps": [2, 4], "hold": "4s", "settle": "1s", "think": "30ms", "samples": 20,
    "requests": [{"path": "/a"}, {"path": "/b", "weight": 2}],
}  # fmt: skip


def run_load(release: Release) -> Any:
    return run_section(release.application, "checks.load", release=release)


def page(run: Run, person: User, part: str = "") -> str:
    client = Client()
    client.force_login(person)
    headers = {"HX-Request": "true"} if part else {}
    address = reverse("checks:run_detail", args=[run.number]) + (f"?part={part}" if part else "")
    response = client.get(address, headers=headers)
    assert response.status_code == 200
    return response.content.decode()


@contextmanager
def watching(release: Release, person: User) -> Iterator[list[str]]:
    """Fetches what changes of the run's page twice a second, as a browser does, until the block ends."""
    seen: list[str] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.5):
            run = Run.objects.filter(application=release.application, state="running").first()
            if run is not None:
                seen.append(page(run, person, "progress"))
        connections.close_all()

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join(10)


def stored_text(run: Run, name: str) -> str:
    key = next(artifact["key"] for artifact in run.result["artifacts"] if artifact["name"] == name)
    with default_storage.open(key) as file:
        return str(file.read().decode())


def test_a_load_within_its_limits_passes_and_keeps_an_exact_record(
    server: LocalServer, storage_folder: Path, tmp_path: Path
) -> None:
    server.replies |= {"/a": Reply(), "/b": Reply()}
    release = release_of(server, {**QUICK, "limits": ["p50 < 500ms", "errors < 10%", "/a: p50 < 500ms"]})
    person = make_team(release.application).auditor
    with watching(release, person) as seen:
        run = run_load(release)
    assert run.state == "passed", log_text(run) + run.error
    first, second = run.result["steps"]
    assert (first["users"], second["users"]) == (2, 4)
    assert second["rate"] > first["rate"] > 10
    assert second["endpoints"]["/b"]["count"] > second["endpoints"]["/a"]["count"] > 0
    assert [artifact["name"] for artifact in run.result["artifacts"]] == ["latency.hlog"]
    assert 5 <= len(run.result["seconds"]) <= 9
    assert run.result["database"]["transactions"] > 10
    assert run.result["database"]["connections"] > 1
    assert any("Answers, failures and users, each second" in text for text in seen), "the page was live"
    text = page(run, person)
    for part in ("Load on", "2 users", "4 users", "All limits held up to", "latency.hlog", "Latency over load"):
        assert part in text
    (tmp_path / "latency.hlog").write_text(stored_text(run, "latency.hlog"))
    logged = HistogramLogReader(str(tmp_path / "latency.hlog"), HdrHistogram(1, 600_000_000, 3))
    whole = HdrHistogram(1, 600_000_000, 3)
    while (one := logged.get_next_interval_histogram()) is not None:
        whole.add(one)
    logged.close()
    assert whole.get_total_count() == sum(row[2] for row in run.result["seconds"])


def test_a_broken_limit_says_no_and_a_sustained_one_ends_the_load(server: LocalServer, storage_folder: Path) -> None:
    server.replies["/b"] = Reply(delay=0.1)
    params = {
        **QUICK, "requests": [{"path": "/b"}], "limits": ["median < 50ms"], "stop": ["median < 60ms"],
        "stop_after": "2s", "samples": 10,
    }  # fmt: skip
    run = run_load(release_of(server, params))
    assert run.state == "failed", log_text(run)
    assert "ended early: median is" in run.summary
    assert len(run.result["steps"]) == 1
    states = {step.key: step.state for step in run.steps.all()}
    assert (states["load-1"], states["load-2"], states["judge"]) == ("failed", "skipped", "failed")


@pytest.mark.parametrize("more", [{}, {"mode": "open", "steps": [30]}], ids=["closed", "open"])
def test_quick_failures_are_a_no_although_the_plan_limits_only_the_median(
    server: LocalServer, storage_folder: Path, more: dict[str, Any]
) -> None:
    server.replies["/b"] = Reply()
    server.answered = lambda _: server.replies.update({"/b": Reply(500 if len(server.seen) % 2 else 200)})
    params = {**QUICK, "requests": [{"path": "/b"}], "limits": ["median < 9s"], "stop": [], **more}
    release = release_of(server, params, load={"expected": {"requests_per_second": 10, "headroom": 1}})
    run = run_load(release)
    assert run.state == "failed", log_text(run)
    assert "limit < 1 %, added because the plan names none" in run.summary
    assert run.result["figures"]["capacity"] == 0
    assert "so errors &lt; 1% was added by the program" in page(run, make_team(release.application).auditor)


def test_a_server_that_sends_away_is_no_pass_and_nothing_else_is_loaded(
    server: LocalServer, storage_folder: Path
) -> None:
    """The first answer, before any load, is right; then it redirects to another server."""
    with serving({"/b": Reply()}) as other:
        server.replies["/b"] = Reply()
        server.answered = lambda _: server.replies.update({"/b": Reply(302, headers={"Location": f"{other.url}/b"})})
        # So little that a generator which hardly gets a core still makes it; then only the redirect is to be told.
        params = {
            **QUICK, "steps": [1], "requests": [{"path": "/b"}], "limits": ["median < 9s"], "stop": [],
            "think": "150ms", "hold": "9s",
        }  # fmt: skip
        run = run_load(release_of(server, params))
        assert other.seen == []
    assert (run.state, run.verdict) == ("errored", "errored"), log_text(run)
    assert f"it was sent to 127.0.0.1:{other.port}" in run.error
    assert run.result["steps"][0]["failed"] > 10, "what was measured is kept"


def stalls(path: str) -> None:
    """All requests that arrive in the first 1.5 s of each 4 s wait until these are over."""
    within = time.time() % 4
    if within < 1.5:
        time.sleep(1.5 - within)


def test_a_stall_that_closed_mode_hides_is_seen_in_open_mode(server: LocalServer, storage_folder: Path) -> None:
    server.replies["/b"] = Reply()
    server.before = stalls
    common = {
        "requests": [{"path": "/b"}], "hold": "9s", "settle": "1s", "samples": 20, "limits": ["p95 < 400ms"],
        "stop": [], "think": "20ms",
    }  # fmt: skip
    closed = run_load(release_of(server, {**common, "mode": "closed", "steps": [3]}))
    opened = run_load(release_of(server, {**common, "mode": "open", "steps": [50]}))
    assert closed.state == "passed", log_text(closed)
    assert closed.result["steps"][0]["p95"] < 400
    assert opened.state == "failed", log_text(opened)
    assert 900 < opened.result["steps"][0]["p95"] < 2500
    assert opened.result["steps"][0]["achieved"] > 0.95


LOCUSTFILE = """
from locust import FastHttpUser, constant, task

class Reader(FastHttpUser):
    wait_time = constant(0.3)

    def on_start(self):
        self.client.get("/log-in", name="log in")

    @task(3)
    def read(self):
        self.client.get("/b", name="read")
"""


def test_a_locustfile_of_the_application_is_used_by_several_processes(
    server: LocalServer, storage_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "load.py").write_text(LOCUSTFILE)
    server.replies |= {"/": Reply(), "/b": Reply(), "/log-in": Reply()}
    params = {
        "locustfile": "load.py", "steps": [4], "hold": "8s", "settle": "1s", "processes": 2, "samples": 20,
        "limits": ["read: median < 500ms"],
    }  # fmt: skip
    release = release_of(server, params)
    type(release.application).objects.filter(pk=release.application_id).update(plan_folder=str(tmp_path))
    run = run_load(Release.objects.get(pk=release.pk))
    assert run.state == "passed", log_text(run) + run.error
    assert run.result["steps"][0]["users"] == 4
    assert run.result["scenario"]["locustfile"] == "load.py"
    (tmp_path / "load.py").write_text("this is no Python")
    broken = run_load(Release.objects.get(pk=release.pk))
    assert broken.state == "errored"
    assert "ended before its schedule" in broken.error


def test_a_cancelled_load_stops_at_once_with_all_its_processes(server: LocalServer, storage_folder: Path) -> None:
    server.replies["/b"] = Reply()
    params = {**QUICK, "steps": [4], "hold": "60s", "processes": 2, "requests": [{"path": "/b"}]}
    release = release_of(server, params)
    run = start(release.application, "checks.load", release=release)

    def cancel() -> None:
        while len(server.seen) < 10:
            time.sleep(0.05)
        services.cancel_run(run=run, actor=make_team(release.application).engineer)
        connections.close_all()

    thread = threading.Thread(target=cancel)
    thread.start()
    began = time.monotonic()
    engine.execute(run.pk)
    thread.join(20)
    run.refresh_from_db()
    assert (run.state, time.monotonic() - began < 40) == ("cancelled", True), log_text(run)
    assert list(sweep("GONOGO_RUN", str(run.pk))) == [], "processes were left behind"
    asked = len(server.seen)
    time.sleep(0.5)
    assert len(server.seen) == asked
