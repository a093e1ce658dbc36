"""A new release is watched before it is called live."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from monitoring.domain import watch
from monitoring.models import Alert, Incident, Probe, Watch
from releases.domain.gate import evaluate
from releases.errors import DomainError, NotAllowed, StateChanged
from releases.models import LedgerEntry, Release
from tests.kinds_deploy.local_server import LocalServer
from tests.monitoring.support import Watched, make_watched, record

pytestmark = pytest.mark.django_db


class Shift:
    """A watched release, and its times: the watch lasts 60 seconds."""

    def __init__(self, watched: Watched) -> None:
        self.watched = watched
        self.release = watched.deployed()
        # Began two minutes ago, as far as the database knows.
        self.began = timezone.now() - timedelta(seconds=120)
        Release.objects.filter(pk=self.release.pk).update(
            state_since=self.began, watch_until=self.began + timedelta(seconds=60)
        )

    def answer(self, words: str, *, first: float = 1, ms: float = 20, every: float = 1.0) -> None:
        """Answers from ``first`` seconds after the deploy on."""
        record(self.watched.probe, words, since=self.began + timedelta(seconds=first), ms=ms, every=every)

    def look(self, seconds: float) -> bool:
        return watch.look(release_id=self.release.pk, now=self.at(seconds))

    def at(self, seconds: float) -> datetime:
        return self.began + timedelta(seconds=seconds)

    @property
    def state(self) -> str:
        return Release.objects.values_list("state", flat=True).get(pk=self.release.pk)

    @property
    def watch(self) -> Watch:
        return Watch.objects.filter(release=self.release).latest("began_at")


@pytest.fixture
def shift(watched: Watched) -> Shift:
    return Shift(watched)


def test_within_its_limits_to_the_end_it_is_live(shift: Shift) -> None:
    shift.answer("u" * 60)
    assert not shift.look(30)
    assert (shift.state, shift.watch.state) == ("watching", "watching")
    assert shift.look(61)
    assert (shift.state, shift.watch.state) == ("live", "passed")
    entry = LedgerEntry.objects.get(action="release.went_live", release_id=shift.release.pk)
    assert entry.document["figures"]["answers"] == 60
    assert Release.objects.get(pk=shift.release.pk).live_at is not None


def test_too_many_wrong_answers_recommend_a_rollback_at_once(shift: Shift) -> None:
    shift.answer("ududududud")
    assert shift.look(12)
    assert (shift.state, shift.watch.state) == ("watching", "recommended")
    assert "50.0% of 10 answers were wrong, and 10.0% are allowed" in shift.watch.reason
    alert = Alert.objects.get(kind="watch")
    assert "a rollback is recommended" in alert.subject
    assert "50.0%" in alert.body


def test_a_few_wrong_answers_are_allowed(shift: Shift) -> None:
    shift.answer("u" * 30 + "d" + "u" * 29)
    assert shift.look(61)
    assert shift.state == "live"


def test_slow_answers_recommend_a_rollback(shift: Shift) -> None:
    shift.answer("u" * 20, ms=900)
    assert shift.look(25)
    assert shift.watch.state == "recommended"
    assert "900 ms, and 500 ms are allowed" in shift.watch.reason


def test_a_slow_page_does_not_hide_behind_a_fast_one(server: LocalServer, storage_folder: Any) -> None:
    fast = {"name": "Fast", "environment": "production", "path": "/", "interval": "1s"}
    shift = Shift(make_watched(server, probes=[fast, {**fast, "name": "Front page"}]))
    record(Probe.objects.get(name="Fast"), "u" * 59, since=shift.at(1), ms=5)
    shift.answer("uuu", ms=4000)
    assert shift.look(30)
    assert "4000 ms" in shift.watch.reason


def test_an_incident_recommends_a_rollback_whatever_the_rates_say(shift: Shift) -> None:
    shift.answer("u" * 50 + "ddd")
    assert shift.look(55)
    assert "Front page is down" in shift.watch.reason


def test_no_data_is_never_a_pass(shift: Shift) -> None:
    assert not shift.look(61)
    assert (shift.state, shift.watch.state) == ("watching", "holding")
    assert "No answer of Front page was recorded" in shift.watch.reason
    assert not shift.look(100)
    assert shift.look(60 + 121)
    assert (shift.state, shift.watch.state) == ("watching", "recommended")
    assert "No data is never a pass." in shift.watch.reason


def test_data_that_comes_late_still_decides(shift: Shift) -> None:
    assert not shift.look(61)
    shift.answer("u" * 10, first=62)
    assert shift.look(72)
    assert shift.state == "live"


def test_too_few_answers_are_waited_for(shift: Shift) -> None:
    shift.answer("uuu", first=57)
    assert not shift.look(61)
    assert "3 answers were recorded, and the plan asks for 5" in shift.watch.reason


def test_answers_that_stopped_are_no_data(shift: Shift) -> None:
    shift.answer("u" * 10)
    assert not shift.look(61)
    assert "has not been asked lately" in shift.watch.reason
    assert shift.state == "watching"


def test_answers_of_before_the_deploy_do_not_count(shift: Shift) -> None:
    shift.answer("d" * 20 + "u" * 10, first=-40)
    shift.answer("u" * 59)
    assert shift.look(61)
    assert shift.state == "live"


def test_answers_of_another_environment_do_not_count(server: LocalServer, storage_folder: Any) -> None:
    staging = {"name": "Front page of staging", "environment": "staging", "path": "/", "interval": "1s"}
    shift = Shift(make_watched(server, probes=[staging]))
    record(Probe.objects.get(name=staging["name"]), "u" * 60, since=shift.at(1))
    assert not shift.look(61)
    assert "The plan has no probe in this environment" in shift.watch.reason


def test_it_is_decided_once(shift: Shift) -> None:
    shift.answer("d" * 10)
    assert shift.look(12)
    assert not shift.look(13)
    assert Alert.objects.filter(kind="watch").count() == 1


def test_every_watched_release_is_looked_at(shift: Shift) -> None:
    shift.answer("u" * 60)
    assert watch.tick(shift.at(61)) == 1
    assert watch.tick(shift.at(61)) == 0


def test_the_recommendation_stands_on_the_board(shift: Shift) -> None:
    shift.answer("d" * 10)
    shift.look(12)
    release = Release.objects.select_related("application", "plan_version").get(pk=shift.release.pk)
    assert "watch_rollback" in [blocker.code for blocker in evaluate(release).blockers]


@pytest.mark.campaign
def test_a_release_manager_may_watch_it_once_more(shift: Shift) -> None:
    shift.answer("d" * 10)
    shift.look(12)
    again = watch.restart(release=shift.release, actor=shift.watched.team.manager, reason="The probe was wrong.")
    assert again.state == "watching"
    assert Watch.objects.filter(release=shift.release, state="superseded").count() == 1
    record(shift.watched.probe, "u" * 60, since=again.began_at + timedelta(seconds=1))
    assert watch.look(release_id=shift.release.pk, now=again.began_at + timedelta(seconds=61))
    assert shift.state == "live"
    entry = LedgerEntry.objects.get(action="watch.restarted")
    assert entry.document["reason"] == "The probe was wrong."


def test_nobody_else_may_and_not_without_a_reason(shift: Shift) -> None:
    for person in (shift.watched.team.engineer, shift.watched.team.auditor):
        with pytest.raises(NotAllowed):
            watch.restart(release=shift.release, actor=person, reason="Please.")
    with pytest.raises(DomainError):
        watch.restart(release=shift.release, actor=shift.watched.team.manager, reason=" ")


def test_a_release_that_is_live_is_not_watched_again(shift: Shift) -> None:
    shift.answer("u" * 60)
    shift.look(61)
    with pytest.raises(StateChanged):
        watch.restart(release=shift.release, actor=shift.watched.team.manager, reason="Once more.")


def test_what_was_down_before_the_watch_began_must_be_up_at_its_end(shift: Shift) -> None:
    """A page that broke during the deploy, and is asked so seldom that its share of wrong answers is small."""
    slow = Probe.objects.create(
        environment=shift.watched.production,
        name="Seldom asked",
        url=f"{shift.watched.server.url}/",
        interval_seconds=600,
        first_up_at=shift.began - timedelta(days=1),
    )
    Incident.objects.create(probe=slow, opened_at=shift.at(-5), reason="answered 500")
    record(slow, "d", since=shift.at(2))
    shift.answer("u" * 60)
    assert not shift.look(30)
    assert shift.watch.state == "watching", "it may still come up"
    shift.look(61)
    assert (shift.state, shift.watch.state) == ("watching", "recommended")
    assert shift.watch.reason == "Seldom asked is still down: answered 500."


def test_what_came_up_while_it_was_watched_is_forgiven(shift: Shift) -> None:
    Incident.objects.create(
        probe=shift.watched.probe, opened_at=shift.at(-5), closed_at=shift.at(3), reason="answered 500"
    )
    shift.answer("u" * 60)
    assert shift.look(61)
    assert shift.state == "live"
