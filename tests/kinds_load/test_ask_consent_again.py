"""Consent to load is asked for once more when the run begins: it may have ended or been taken back meanwhile.

Each load is aimed at a real server, which must not have been asked anything.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from checks import engine
from checks.engine import load
from checks.models import Run
from checks.tools.loading import params as load_params
from releases.domain import environment as environments
from releases.models import Application, Environment, Release
from tests.engine.support import check, log_text, start
from tests.factories import make_application, make_release, publish
from tests.kinds_deploy.local_server import LocalServer, Reply

pytestmark = pytest.mark.django_db(transaction=True)

CONSENT: dict[str, Any] = {"by": "Operations", "on": "2026-01-01", "at_most": 4}
LOAD: dict[str, Any] = {
    "steps": [1], "hold": "4s", "settle": "1s", "think": "30ms", "samples": 5, "requests": [{"path": "/b"}],
}  # fmt: skip


def plan(server: LocalServer, params: dict[str, Any], **consent: dict[str, Any]) -> dict[str, Any]:
    places = {
        "staging": {"tier": "staging", "url": server.url},
        "last": {"tier": "staging", "url": server.url},
        "production": {"tier": "production", "url": server.url.replace("127.0.0.1", "localhost")},
    }
    return {
        "environments": places,
        "checks": {"load": check("load", params={**LOAD, **params})},
        "load": {"consent": consent},
    }


def installed(application: Application, *names: str) -> Release:
    """A release whose build runs in these environments."""
    release = make_release(application=application)
    for place in Environment.objects.filter(application=application, name__in=names):
        environments.adopt_build(
            environment=place, version=release.version, build_digest=release.build_digest, actor=None, reason="A test."
        )
    return release


def started_in_production(application: Application) -> Run:
    release = installed(application, "production")
    production = Environment.objects.get(application=application, name="production")
    return start(application, "checks.load", release=release, environment=production)


@pytest.fixture
def answering(server: LocalServer, storage_folder: Path) -> LocalServer:
    server.replies["/b"] = Reply()
    return server


def refused(run: Run, server: LocalServer, why: str) -> None:
    engine.execute(run.pk)
    ended = load(run.pk)
    assert (ended.state, ended.verdict) == ("errored", "errored"), log_text(ended)
    assert why in ended.error
    assert "Nothing was asked" in ended.remedy
    assert server.seen == []


def test_one_that_a_newer_plan_took_back_counts_no_longer(answering: LocalServer) -> None:
    application = make_application(plan=plan(answering, {}, staging=CONSENT))
    run = start(application, "checks.load", release=installed(application, "staging"))
    publish(application, {**plan(answering, {}), "checks": {}})
    refused(run, answering, "Nobody consented to load on staging")


def test_nor_does_one_to_more_than_a_newer_plan_allows(answering: LocalServer) -> None:
    application = make_application(plan=plan(answering, {"steps": [4]}, staging=CONSENT))
    run = start(application, "checks.load", release=installed(application, "staging"))
    publish(application, plan(answering, {"steps": [2]}, staging={**CONSENT, "at_most": 2}))
    refused(run, answering, "Operations consented to at most 2 users on staging, and this load goes up to 4")


def test_a_newer_plan_that_consents_does_not_help_a_release_whose_own_plan_does_not(answering: LocalServer) -> None:
    application = make_application(plan=plan(answering, {}, staging=CONSENT))
    run = started_in_production(application)
    publish(application, plan(answering, {}, staging=CONSENT, production={**CONSENT, "production": True}))
    refused(run, answering, "Nobody consented to load on production")


def test_one_that_ended_between_start_and_run(answering: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one thing that cannot be waited for is the day after the last day."""
    today = datetime.now(UTC).date()
    application = make_application(plan=plan(answering, {}, staging={**CONSENT, "until": str(today)}))
    run = start(application, "checks.load", release=installed(application, "staging"))

    class Tomorrow(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> "Tomorrow":
            return cls.fromtimestamp(datetime.now(tz).timestamp() + timedelta(days=1).total_seconds(), tz)

    monkeypatch.setattr(load_params, "datetime", Tomorrow)
    refused(run, answering, f"The consent of Operations to load on staging ended on {today}")


def test_production_needs_its_own_switch_also_when_it_is_started_there_by_hand(answering: LocalServer) -> None:
    application = make_application(plan=plan(answering, {}, staging=CONSENT, production=CONSENT))
    run = started_in_production(application)
    refused(run, answering, "Production is production: load.consent.production needs production: true")


def test_the_switch_that_a_newer_plan_turned_off_counts_no_longer(answering: LocalServer) -> None:
    application = make_application(
        plan=plan(answering, {}, staging=CONSENT, production={**CONSENT, "production": True})
    )
    run = started_in_production(application)
    publish(application, plan(answering, {}, staging=CONSENT, production=CONSENT))
    refused(run, answering, "Production is production: load.consent.production needs production: true")


def test_the_environment_of_the_last_release_is_asked_about_as_well(answering: LocalServer) -> None:
    compared = {"compare": {"load": 1, "runs": 4, "each": "3s", "settle": "0s", "environment": "last"}}
    application = make_application(plan=plan(answering, compared, staging=CONSENT, last=CONSENT))
    run = start(application, "checks.load", release=installed(application, "staging"))
    publish(application, plan(answering, {}, staging=CONSENT))
    refused(run, answering, "Nobody consented to load on last")


@pytest.mark.campaign
def test_with_the_switch_in_both_plans_production_is_loaded(answering: LocalServer) -> None:
    consents = {"staging": CONSENT, "production": {**CONSENT, "production": True}}
    application = make_application(plan=plan(answering, {"limits": ["errors < 10%"]}, **consents))
    run = started_in_production(application)
    publish(application, plan(answering, {}, **consents))
    engine.execute(run.pk)
    assert load(run.pk).state == "passed", log_text(load(run.pk)) + load(run.pk).error
    assert len(answering.seen) > 5
