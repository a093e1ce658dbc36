"""Answers are recorded, and open and close incidents with flap control."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from monitoring.domain.probe import prune, record_results
from monitoring.models import Alert, Incident, Probe, ProbeResult
from releases.domain import environment as environments
from releases.models import LedgerEntry
from tests.kinds_deploy.local_server import LocalServer
from tests.monitoring.support import Watched, answers, make_watched, probe_section, record

pytestmark = pytest.mark.django_db


def open_incidents() -> int:
    return Incident.objects.filter(closed_at__isnull=True).count()


def test_they_are_kept(watched: Watched) -> None:
    assert record(watched.probe, "uuu", ms=12.5) == 3
    assert list(ProbeResult.objects.values_list("up", "status", "response_ms")) == [(True, 200, 12.5)] * 3
    probe = watched.probe
    assert (probe.state, probe.streak) == ("up", 3)
    assert probe.last_checked_at is not None


@pytest.mark.parametrize(
    ("words", "incidents", "state"),
    [
        ("uudduddu", 0, "up"),  # never three in a row
        ("uuddd", 1, "down"),
        ("dd", 0, "unknown"),
        ("ddd", 1, "down"),
        ("ddduud", 1, "down"),  # two good ones do not close it
        ("ddduuu", 0, "up"),
    ],
)
def test_flaps_neither_open_nor_close(watched: Watched, words: str, incidents: int, state: str) -> None:
    record(watched.probe, words)
    assert open_incidents() == incidents
    assert watched.probe.state == state


def test_what_is_not_there_yet_is_not_down(server: LocalServer) -> None:
    """Never up, and nothing deployed: no alarm, and nothing that holds the first release."""
    awaited = make_watched(server, seen=False)
    record(awaited.probe, "ddddd", since=timezone.now() - timedelta(seconds=30))
    assert (awaited.probe.state, awaited.probe.streak, Incident.objects.count()) == ("unknown", 0, 0)
    assert ProbeResult.objects.count() == 5
    record(awaited.probe, "uddd", since=timezone.now() - timedelta(seconds=20))
    assert (awaited.probe.state, Incident.objects.count()) == ("down", 1)


def test_after_a_deploy_it_has_to_be_there(server: LocalServer) -> None:
    awaited = make_watched(server, seen=False)
    record(awaited.probe, "ddddd", since=timezone.now() - timedelta(seconds=30))
    release = awaited.deployed()
    with transaction.atomic():
        environments.build_running(
            environment=awaited.production, release=release, version="2.0", build_digest=release.build_digest
        )
    since = timezone.now() - timedelta(seconds=20)
    record(awaited.probe, "ddd", since=since)
    assert Incident.objects.get().opened_at == since


def test_the_same_in_one_batch_or_in_many(watched: Watched) -> None:
    for answer in answers(watched.probe, "uudddduuu"):
        record_results([answer])
    (incident,) = Incident.objects.all()
    assert incident.closed_at is not None
    assert (incident.closed_at - incident.opened_at).total_seconds() == pytest.approx(4)


def test_an_incident_begins_with_the_first_wrong_answer(watched: Watched) -> None:
    since = timezone.now() - timedelta(seconds=60)
    record(watched.probe, "uuddduuu", since=since)
    incident = Incident.objects.get()
    assert incident.opened_at == since + timedelta(seconds=2)
    assert incident.closed_at == since + timedelta(seconds=5)
    assert incident.reason == "answered 500, expected 200"


def test_down_again_is_another_incident(watched: Watched) -> None:
    record(watched.probe, "ddduuuddd")
    assert Incident.objects.count() == 2
    assert open_incidents() == 1


def test_opening_and_closing_are_told_and_in_the_ledger(watched: Watched) -> None:
    record(watched.probe, "dddd")
    (opened,) = Alert.objects.all()
    assert (opened.kind, opened.subject) == ("opened", f"{watched.production}: Front page is down")
    assert "answered 500" in opened.body
    assert f"/monitoring/incidents/{opened.incident_id}/" in opened.body
    record(watched.probe, "uuu", since=timezone.now() + timedelta(seconds=5))
    assert sorted(Alert.objects.values_list("kind", flat=True)) == ["closed", "opened"]
    actions = LedgerEntry.objects.filter(action__startswith="incident.").values_list("action", flat=True)
    assert sorted(actions) == ["incident.closed", "incident.opened"]


def test_answers_of_a_second_prober_do_not_count_twice(watched: Watched) -> None:
    probe = watched.probe
    since = timezone.now() - timedelta(seconds=10)
    record(probe, "dd", since=since)
    record(probe, "dd", since=since + timedelta(milliseconds=200))
    assert probe.results.count() == 2
    assert open_incidents() == 0


def test_answers_of_a_stopped_or_removed_probe_are_dropped(watched: Watched) -> None:
    probe = watched.probe
    late = answers(probe, "uuu")
    Probe.objects.filter(pk=probe.pk).update(enabled=False)
    assert record_results(late) == 0
    probe.delete()
    assert record_results(late) == 0


def test_a_batch_takes_a_fixed_number_of_queries(server: LocalServer, django_assert_max_num_queries: object) -> None:
    many = make_watched(server, probes=[probe_section(f"Probe {number}") for number in range(20)])
    batch = [answer for probe in Probe.objects.filter(environment=many.production) for answer in answers(probe, "uuuu")]
    with django_assert_max_num_queries(8):  # type: ignore[operator]
        assert record_results(batch) == 80


def test_old_answers_are_removed(watched: Watched) -> None:
    probe = watched.probe
    record(probe, "uuu", since=timezone.now() - timedelta(days=40))
    record(probe, "uu")
    assert prune() == 3
    assert probe.results.count() == 2
