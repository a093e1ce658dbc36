"""The kind load, run for real: Locust in a child against a real server."""

from pathlib import Path
from typing import Any

import pytest

from releases.domain import environment as environments
from releases.models import Environment, Release
from tests.engine.support import check, log_text, run_section
from tests.factories import make_application, make_release
from tests.kinds_deploy.local_server import LocalServer, Reply

pytestmark = pytest.mark.django_db(transaction=True)

CONSENT = {"staging": {"by": "Operations", "on": "2026-01-01", "at_most": 50}}


def release_of(server: LocalServer, params: dict[str, Any], *, load: dict[str, Any] | None = None) -> Release:
    places = {
        "staging": {"tier": "staging", "url": server.url},
        "production": {"tier": "production", "url": server.url},
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


QUICK: dict[str, Any] = {
    "steps": [2, 4], "hold": "4s", "settle": "1s", "think": "30ms", "samples": 20,
    "requests": [{"path": "/a"}, {"path": "/b", "weight": 2}],
}  # fmt: skip


def run_load(release: Release) -> Any:
    return run_section(release.application, "checks.load", release=release)


def test_a_load_within_its_limits_passes_and_keeps_an_exact_record(server: LocalServer, storage_folder: Path) -> None:
    server.replies |= {"/a": Reply(), "/b": Reply()}
    run = run_load(release_of(server, {**QUICK, "limits": ["p50 < 500ms", "errors < 10%", "/a: p50 < 500ms"]}))
    assert run.state == "passed", log_text(run) + run.error
    first, second = run.result["steps"]
    assert (first["users"], second["users"]) == (2, 4)
    assert second["rate"] > first["rate"] > 10
    assert second["endpoints"]["/b"]["count"] > second["endpoints"]["/a"]["count"] > 0
    assert [artifact["name"] for artifact in run.result["artifacts"]] == ["latency.hlog"]
    assert 7 <= len(run.result["seconds"]) <= 9


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


def test_too_few_requests_are_no_pass_and_what_was_measured_is_kept(server: LocalServer, storage_folder: Path) -> None:
    server.replies["/b"] = Reply()
    params = {**QUICK, "steps": [1], "requests": [{"path": "/b"}], "samples": 5000, "limits": ["errors < 10%"]}
    run = run_load(release_of(server, params))
    assert (run.state, run.verdict) == ("errored", "errored")
    assert "are too few; at least 5,000 are needed" in run.error
    assert run.result["steps"][0]["count"] > 10
