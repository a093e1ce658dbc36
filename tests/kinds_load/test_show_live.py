"""What a second of load costs those who watch it: it is written and rung once, whole."""

import json
import time
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import redis
from django.db import connections

from checks import engine
from checks.models import RunStep
from tests.engine.support import log_text, start
from tests.kinds_deploy.local_server import LocalServer, Reply
from tests.kinds_load.test_make_load import QUICK, release_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.campaign]


def test_each_second_is_rung_once_with_all_of_its_figures(
    server: LocalServer, storage_folder: Path, settings: Any
) -> None:
    server.replies |= {"/a": Reply(), "/b": Reply()}
    release = release_of(server, {**QUICK, "steps": [2], "hold": "8s", "limits": ["errors < 10%"]})
    run = start(release.application, "checks.load", release=release)

    def work() -> None:
        engine.execute(run.pk)
        connections.close_all()

    seen: list[int] = []
    with redis.Redis.from_url(settings.REDIS_URL) as client, client.pubsub() as ear:
        ear.subscribe(run.log_channel)
        thread = Thread(target=work)
        thread.start()
        deadline = time.monotonic() + 120
        while thread.is_alive():
            assert time.monotonic() < deadline
            message = ear.get_message(timeout=0.1)
            ring = json.loads(message["data"]) if message and message["type"] == "message" else {}
            if ring.get("step") == "load-1" and "step_state" not in ring:
                figures = RunStep.objects.get(run=run, attempt=1, key="load-1").figures
                seen.append(len(figures.get("seconds", [])))
        thread.join()
    run.refresh_from_db()
    assert run.state == "passed", log_text(run) + run.error
    assert len(seen) >= 5
    assert seen == sorted(set(seen)), "each ring brings a second that was not there before"
