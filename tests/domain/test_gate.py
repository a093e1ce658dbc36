"""What the gate says, and that it asks the database a fixed number of questions."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from uuid import uuid4

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from releases.domain import calendar, gate, items
from releases.domain import release as releases
from releases.domain.gate import Blocker, evaluate, evaluate_many
from releases.enums import Choice, EvidenceVerdict, GateVerdict, ReleaseState, Requirement
from releases.models import Application, Release
from tests.factories import (
    CHECKS,
    ApplicationFactory,
    ReleaseFactory,
    Team,
    answer,
    go_green,
    make_approved,
    schedule,
    vote,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def registries() -> Iterator[None]:
    """Undo what a test registers."""
    sources, activities = list(gate._sources), list(items._activities)
    yield
    gate._sources[:], items._activities[:] = sources, activities


def texts(release: Release, at: datetime | None = None) -> str:
    return " ".join(f"{blocker.title}: {blocker.text}" for blocker in evaluate(release, at).blockers)


def test_it_opens_when_everything_is_answered_and_every_station_voted_go(release: Release, team: Team) -> None:
    make_approved(release, team)
    found = evaluate(release)
    assert found.blockers == []
    assert found.verdict == GateVerdict.GO
    assert found.may_launch
    assert release.state == ReleaseState.APPROVED
    assert [station.verdict for station in found.stations] == ["go"] * 6
    assert all(station.done == station.total > 0 for station in found.stations)


def test_it_holds_while_something_is_only_missing(release: Release) -> None:
    found = evaluate(release)
    assert found.verdict == GateVerdict.HOLD
    codes = {blocker.code for blocker in found.blockers}
    assert codes == {"item_open", "window_missing", "poll_closed"}
    assert {blocker.target[1] for blocker in found.blockers if blocker.code == "item_open"} == set(
        release.items.values_list("key", flat=True)
    )


def test_it_says_no_when_the_newest_evidence_failed(release: Release) -> None:
    go_green(release)
    answer(release.items.get(key="scalability.load"), verdict=EvidenceVerdict.FAILED, summary="p95 612 ms, limit 400")
    found = evaluate(release)
    assert found.verdict == GateVerdict.NO_GO
    assert found.blockers[0].target == ("item", "scalability.load")
    assert found.blockers[0].text == "p95 612 ms, limit 400"
    verdicts = {station.requirement: station.verdict for station in found.stations}
    assert verdicts[Requirement.SCALABILITY] == "no_go"
    assert verdicts[Requirement.TESTING] == "go"


def test_a_check_that_broke_holds_and_is_not_a_pass(release: Release) -> None:
    go_green(release)
    answer(release.items.get(key="security.audit"), verdict=EvidenceVerdict.ERRORED, summary="pip-audit is missing")
    found = evaluate(release)
    assert found.verdict == GateVerdict.HOLD
    assert "item_errored" in {blocker.code for blocker in found.blockers}


def test_a_no_go_vote_says_no_and_a_hold_vote_holds(release: Release, team: Team) -> None:
    schedule(release, team.manager)
    go_green(release)
    releases.open_poll(release=release, actor=team.manager)
    vote(release, team.approvers["security"], "security", Choice.HOLD, "Wait for the pen test.")
    assert evaluate(release).verdict == GateVerdict.HOLD
    assert "voted hold: Wait for the pen test." in texts(release)
    vote(release, team.approvers["engineering"], "engineering", Choice.NO_GO, "It leaks.")
    assert evaluate(release).verdict == GateVerdict.NO_GO


def test_a_concern_counts_as_go(release: Release, team: Team) -> None:
    schedule(release, team.manager)
    go_green(release)
    releases.open_poll(release=release, actor=team.manager)
    for station, voter in team.approvers.items():
        vote(release, voter, station, Choice.CONCERN, "Watch the schedule page.")
    assert evaluate(release).open


def test_a_window_that_has_not_opened_holds_only_the_launch(release: Release, team: Team) -> None:
    make_approved(release, team, opens=timezone.now() + timedelta(hours=2))
    found = evaluate(release)
    assert found.verdict == GateVerdict.GO
    assert not found.may_launch
    assert [blocker.code for blocker in found.launch_blockers] == ["window_not_open"]


def test_a_window_that_has_closed_holds(release: Release, team: Team) -> None:
    make_approved(release, team)
    later = release.window_closes + timedelta(seconds=1)
    assert "window_closed" in {blocker.code for blocker in evaluate(release, later).blockers}


def test_a_freeze_over_the_window_holds_and_a_lifted_one_does_not(release: Release, team: Team) -> None:
    make_approved(release, team)
    now = timezone.now()
    freeze = calendar.create_freeze(
        application=release.application,
        opens=now + timedelta(hours=1),
        closes=now + timedelta(hours=2),
        reason="Year-end closing",
        actor=team.manager,
    )
    assert "Year-end closing" in texts(release)
    release.refresh_from_db()
    assert release.state == ReleaseState.REHEARSING
    calendar.lift_freeze(freeze=freeze, actor=team.manager)
    assert evaluate(release).open
    release.refresh_from_db()
    assert release.state == ReleaseState.APPROVED


def test_another_app_can_name_blockers(release: Release, team: Team, registries: None) -> None:
    make_approved(release, team)
    reported = Blocker("incident", "Checkout", "The site is down.", ("incident", "7"), GateVerdict.NO_GO)
    gate.register_source(lambda found, statuses, at: {release.pk: [reported]})
    found = evaluate(release)
    assert found.blockers == [reported]
    assert found.verdict == GateVerdict.NO_GO


def test_an_item_whose_check_runs_now_is_shown_as_running_but_does_not_count(
    release: Release, registries: None
) -> None:
    go_green(release)
    load = release.items.get(key="scalability.load")
    answer(load, verdict=EvidenceVerdict.FAILED, summary="Too slow.")
    running = items.Activity(uuid4(), 7, "load", "checks.load", load.environment_id, "running")
    gate.register_activity(lambda found: {release.pk: [running]})
    found = evaluate(release)
    station = next(each for each in found.stations if each.requirement == Requirement.SCALABILITY)
    assert station.verdict == "running"
    assert station.done == station.total - 1
    assert found.verdict == GateVerdict.NO_GO


def _count(application: Application, releases_: list[Release]) -> int:
    loaded = list(
        Release.objects.filter(pk__in=[each.pk for each in releases_]).select_related(
            "application", "plan_version", "source_environment", "target_environment", "requester"
        )
    )
    with CaptureQueriesContext(connection) as captured:
        evaluate_many(loaded)
    return len(captured)


@pytest.mark.campaign
def test_the_number_of_queries_does_not_grow_with_items_votes_or_releases(team: Team, release: Release) -> None:
    make_approved(release, team)
    few = _count(release.application, [release])
    many_checks = {**CHECKS, **{f"suite-{number}": {**CHECKS["unit"]} for number in range(20)}}
    big = ApplicationFactory(plan={"checks": many_checks})
    crowd = [ReleaseFactory(application=big) for _ in range(3)]
    for each in crowd:
        go_green(each)
    assert crowd[0].items.count() > 30
    assert _count(big, [crowd[0]]) == few
    assert _count(big, [*crowd, release]) == few
