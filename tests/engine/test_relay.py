"""The way from the outbox to a worker."""

import socket
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import timezone

from checks import outbox
from checks.engine import load
from checks.models import Outbox
from checks.tasks import Publisher
from releases.models import Environment
from tests.engine.support import application_with, check, log_lines, run_section, start
from tests.engine.workers import relay, until, worker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def application(tmp_path: Path) -> Any:
    return application_with({"command": check("test_command")}, folder=tmp_path)


def test_each_row_is_published_once_to_its_queue(application: Any) -> None:
    Environment.objects.filter(application=application, name="staging").update(queue="env.staging")
    runs = [start(application, "checks.command") for _ in range(3)]
    sent: list[tuple[str, str]] = []
    assert outbox.publish_due(lambda run, queue: sent.append((run, queue))) == 3
    assert sent == [(str(run.pk), "env.staging") for run in runs]
    assert outbox.publish_due(lambda run, queue: sent.append((run, queue))) == 0


def test_a_failure_keeps_what_was_not_published(application: Any) -> None:
    runs = [start(application, "checks.command") for _ in range(3)]
    sent: list[str] = []

    def publish(run: str, _queue: str) -> None:
        if len(sent) == 1:
            raise OSError("Redis is away")
        sent.append(run)

    with pytest.raises(OSError, match="Redis is away"):
        outbox.publish_due(publish)
    left = Outbox.objects.filter(published_at__isnull=True).order_by("id")
    assert [row.run_id for row in left] == [run.pk for run in runs[1:]]


def test_what_stays_queued_is_published_again_and_later_each_time(application: Any) -> None:
    start(application, "checks.command")
    outbox.publish_due(lambda *_: None)
    assert outbox.publish_again(30) == 0
    Outbox.objects.update(published_at=timezone.now() - timedelta(seconds=31))
    assert outbox.publish_again(30) == 1
    outbox.publish_due(lambda *_: None)
    Outbox.objects.update(published_at=timezone.now() - timedelta(seconds=31))
    assert outbox.publish_again(30) == 0, "twice as long after the second message"


def test_an_ended_run_is_not_published(application: Any) -> None:
    run_section(application, "checks.command")
    sent: list[str] = []
    assert outbox.publish_due(lambda run, _queue: sent.append(run)) == 1
    assert sent == []


@pytest.mark.campaign
def test_publishing_to_a_redis_that_hangs_fails_within_seconds() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(1)
        publisher = Publisher(f"redis://127.0.0.1:{deaf.getsockname()[1]}/0")
        began = time.monotonic()
        with pytest.raises(publisher.errors):
            publisher("id", "default")
        assert time.monotonic() - began < 15
        publisher.close()


def test_old_rows_are_pruned(application: Any) -> None:
    run_section(application, "checks.command")
    start(application, "checks.command")
    Outbox.objects.update(published_at=timezone.now() - timedelta(days=2))
    assert outbox.prune() == 1


def test_the_queues_of_all_environments_are_listed(application: Any, capsys: Any) -> None:
    Environment.objects.filter(application=application, name="production").update(queue="env.production")
    call_command("list_queues")
    assert capsys.readouterr().out.strip() == "default,env.production"


@pytest.mark.campaign
@pytest.mark.slow
def test_a_worker_gets_the_run_within_a_second(application: Any) -> None:
    with relay() as relaying, worker(slots=2):
        warm = start(application, "checks.command", params={"argv": ["echo", "warm"]})
        until(lambda: load(warm.pk).state == "passed", seconds=60)
        waits = []
        for _ in range(5):
            began = time.monotonic()
            run = start(application, "checks.command", params={"argv": ["echo", "here"]})
            until(lambda run=run: "here" in log_lines(run, attempt=1), seconds=20, every=0.05)
            waits.append(time.monotonic() - began)
            until(lambda run=run: load(run.pk).state == "passed")
        assert sorted(waits)[2] < 3, waits
        relaying.terminate()
        assert relaying.wait(5) == 0
