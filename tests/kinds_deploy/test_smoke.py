"""The kind smoke, run for real by the engine against a real server."""

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connections

from releases.domain import environment as environments
from releases.models import Environment, Release
from tests.engine.support import check, log_text, run_section
from tests.factories import make_application, make_release
from tests.kinds_deploy.local_server import LocalServer, Reply, serving

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def release(server: LocalServer, storage_folder: Path, db: None) -> Release:
    places = {
        "staging": {"tier": "staging", "url": server.url},
        "production": {"tier": "production", "url": server.url},
    }
    params = {"requests": [{"path": "/a", "text": "hello"}, {"path": "/b"}]}
    application = make_application(plan={"environments": places, "checks": {"smoke": check("smoke", params=params)}})
    release = make_release(application=application)
    environments.adopt_build(
        environment=Environment.objects.get(application=application, name="staging"),
        version=release.version,
        build_digest=release.build_digest,
        actor=None,
        reason="Put there by the test.",
    )
    return release


def smoke(release: Release, **params: Any) -> Any:
    return run_section(release.application, "checks.smoke", release=release, params=params)


def test_all_as_declared_passes(release: Release, server: LocalServer) -> None:
    server.replies |= {"/a": Reply(), "/b": Reply()}
    run = smoke(release)
    assert (run.state, run.summary) == ("passed", "2 of 2 requests answered as declared."), log_text(run)
    assert [answer["status"] for answer in run.result["answers"]] == [200, 200]
    assert run.result["figures"]["slowest_ms"] > 0


def test_each_is_asked_and_told(release: Release, server: LocalServer) -> None:
    server.replies |= {"/b": Reply()}
    run = smoke(release)
    assert run.state == "failed"
    assert "1 of 2 requests not as declared: /a: answered 404, expected 200" in run.summary
    assert server.seen == ["/a", "/b"]
    assert "/b: 200 in" in log_text(run)


def test_it_asks_no_other_host(release: Release) -> None:
    with serving({"/a": Reply(), "/b": Reply()}) as other:
        run = smoke(release, url=f"http://localhost:{other.port}")
        assert run.state == "errored"
        assert "is not on the host of staging" in run.error
        assert other.seen == []


def test_another_port_of_the_same_host_may_be_asked(release: Release) -> None:
    with serving({"/a": Reply(), "/b": Reply()}) as other:
        assert smoke(release, url=other.url).state == "passed"


@pytest.mark.campaign
def test_what_runs_there_must_not_change_meanwhile(release: Release, server: LocalServer) -> None:
    server.replies |= {"/a": Reply(delay=1.5), "/b": Reply()}

    def change() -> None:
        while not server.seen:
            time.sleep(0.01)
        environments.build_changing(environment=Environment.objects.get(pk=release.source_environment_id))
        connections.close_all()

    thread = threading.Thread(target=change)
    thread.start()
    run = smoke(release)
    thread.join()
    assert run.state == "errored"
    assert "It changed while this ran" in run.error
