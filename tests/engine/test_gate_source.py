"""What runs tell the gate."""

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from checks import queries
from checks.engine import load
from checks.enums import RunState
from releases.domain import gate
from releases.domain.gate import Blocker
from releases.enums import GateVerdict, Tier
from releases.models import Environment
from tests.engine.support import application_with, check, run_section, start
from tests.factories import ReleaseFactory
from tests.findings.support import end

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def application(tmp_path: Path) -> Any:
    return application_with(
        {
            "smoke": check("test_command"),
            "other": check("test_command"),
            "there": check("test_exclusive", "production"),
        },
        folder=tmp_path,
        plan={
            "checklist": [
                {"key": "testing.extra", "requirement": "testing", "title": "Extra", "section": "checks.smoke"}
            ]
        },
    )


def _told(release: Any) -> list[Blocker]:
    return [blocker for blocker in gate.evaluate(release).blockers if blocker.code.startswith("run.")]


def _codes(release: Any) -> list[str]:
    return [blocker.code for blocker in _told(release)]


def test_a_check_under_way_blocks_where_an_item_waits_for_it(application: Any) -> None:
    release = ReleaseFactory(application=application)
    assert _codes(release) == []
    start(application, "checks.other", release=release)
    assert _codes(release) == []
    run = start(application, "checks.smoke", release=release)
    assert _codes(release) == ["run.active"]
    active = {(one.section, one.environment_id, one.number) for one in queries.activities([release])[release.pk]}
    assert ("checks.smoke", run.environment_id, run.number) in active
    assert _told(release)[0].text == f"Run #{run.number} is queued; its answer may change the verdict."
    assert _codes(ReleaseFactory(application=application)) == []


def test_an_ended_check_blocks_nothing(application: Any) -> None:
    release = ReleaseFactory(application=application)
    run_section(application, "checks.smoke", release=release)
    assert _codes(release) == []
    assert queries.activities([release]) == {}


def test_a_deploy_of_another_release_blocks_all_that_go_there(application: Any) -> None:
    first, second = ReleaseFactory(application=application), ReleaseFactory(application=application)
    run = start(application, "checks.there", release=first)
    for release in (first, second):
        (blocker,) = _told(release)
        assert (blocker.code, blocker.severity, blocker.target) == (
            "run.exclusive",
            GateVerdict.HOLD,
            ("run", str(run.pk)),
        )
    assert load(run.pk).state == "queued"


def test_a_lost_rehearsal_says_the_same_of_a_release_whoever_is_asked_about_beside_it(application: Any) -> None:
    """Where it rehearses is another's target; for its own release, a run that is lost is under way no more."""
    ours = ReleaseFactory(application=application)
    Environment.objects.create(application=application, name="trial", tier=Tier.DEVELOPMENT)
    theirs = ReleaseFactory(application=application, source="trial", target="staging")
    run = start(application, "checks.there", release=ours, environment=ours.source_environment)
    end(run, RunState.UNKNOWN)
    alone, together = queries.activities([ours]), queries.activities([ours, theirs])
    assert alone.get(ours.pk) is None
    assert together.get(ours.pk) is None
    (activity,) = together[theirs.pk]
    assert (activity.lost, activity.changing, activity.own) == (True, True, False)


@pytest.mark.parametrize("count", [1, 3])
def test_many_releases_take_as_many_queries_as_one(application: Any, count: int) -> None:
    releases = [ReleaseFactory(application=application) for _ in range(count)]
    for release in releases:
        start(application, "checks.smoke", release=release)
    with CaptureQueriesContext(
        connection,
    ) as seen:
        found = queries.activities(releases)
    assert len(found) == count
    assert len(seen) == 1
