"""What runs tell the gate."""

from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from checks import queries
from checks.engine import load
from releases.enums import GateVerdict
from tests.engine.support import application_with, check, run_section, start
from tests.factories import ReleaseFactory

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


def _codes(release: Any) -> list[str]:
    return [blocker.code for blocker in queries.blockers(release, timezone.now())]


def test_a_check_under_way_blocks_where_an_item_waits_for_it(application: Any) -> None:
    release = ReleaseFactory(application=application)
    assert _codes(release) == []
    start(application, "checks.other", release=release)
    assert _codes(release) == []
    run = start(application, "checks.smoke", release=release)
    assert _codes(release) == ["run.active"]
    assert queries.activities([release])[release.pk] >= {("checks.smoke", run.environment_id)}
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
        blocker = queries.blockers(release, timezone.now())[0]
        assert (blocker.code, blocker.severity, blocker.target) == (
            "run.exclusive",
            GateVerdict.HOLD,
            ("run", str(run.pk)),
        )
    assert load(run.pk).state == "queued"


@pytest.mark.parametrize("count", [1, 3])
def test_many_releases_take_as_many_queries_as_one(application: Any, count: int) -> None:
    releases = [ReleaseFactory(application=application) for _ in range(count)]
    for release in releases:
        start(application, "checks.smoke", release=release)
    with CaptureQueriesContext(
        connection,
    ) as seen:
        found = queries.blockers_of(releases, timezone.now())
    assert len(found) == count
    assert len(seen) == 2
