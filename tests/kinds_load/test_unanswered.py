"""A server that stops answering in the midst of a load: what it never answered is not forgotten."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.engine.support import log_text
from tests.kinds_deploy.local_server import LocalServer, Reply
from tests.kinds_load.test_make_load import release_of, run_load

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.campaign]

LOAD: dict[str, Any] = {
    "steps": [4], "hold": "10s", "settle": "1s", "think": "20ms", "samples": 20, "pool": 200,
    "requests": [{"path": "/b"}], "limits": ["p95 < 900ms", "errors < 10%"],
}  # fmt: skip


@pytest.fixture
def falls_silent(server: LocalServer) -> Iterator[LocalServer]:
    """Answers at once for five seconds from the second request on, then no more until the test is over."""
    over, began = threading.Event(), [0.0]

    def hang(_: str) -> None:
        if len(server.seen) >= 2 and not began[0]:
            began[0] = time.monotonic()
        if began[0] and time.monotonic() - began[0] > 5:
            over.wait(60)

    server.replies["/b"] = Reply()
    server.before = hang
    yield server
    over.set()


@pytest.mark.parametrize("more", [{}, {"mode": "open", "steps": [40]}], ids=["closed", "open"])
def test_a_server_that_stops_answering_never_passes(
    falls_silent: LocalServer, storage_folder: Path, more: dict[str, Any]
) -> None:
    run = run_load(release_of(falls_silent, {**LOAD, **more}))
    assert run.result["steps"][0]["count"] > 20, "until then it was quick"
    assert run.state == "failed", log_text(run)
    assert run.result["steps"][0]["unanswered"] >= 4
    assert any("requests were left without an answer" in told for told in run.result["steps"][0]["broken"])


def test_a_limit_ends_a_load_that_nobody_answers_any_more(falls_silent: LocalServer, storage_folder: Path) -> None:
    run = run_load(release_of(falls_silent, {**LOAD, "hold": "30s", "stop": ["p95 < 900ms"], "stop_after": "3s"}))
    assert run.state == "failed", log_text(run)
    assert "ended early: p95 is" in run.summary
    assert run.result["steps"][0]["seconds"] < 20


@pytest.mark.parametrize("stop", ["errors < 50%", "requests_per_second > 5"])
def test_whatever_the_limit_is_on_a_silent_server_is_spared(
    falls_silent: LocalServer, storage_folder: Path, stop: str
) -> None:
    run = run_load(release_of(falls_silent, {**LOAD, "hold": "30s", "stop": [stop], "stop_after": "3s"}))
    assert run.state == "failed", log_text(run)
    assert "ended early: nothing was answered, and the longest had waited for" in run.summary
    assert run.result["steps"][0]["seconds"] < 20
