"""Commits lines of a run the way the recorder does, one chunk at a time, with or without a ring."""

import hashlib
import time
import uuid
from dataclasses import dataclass

from django.db import connection, transaction
from django.utils import timezone

from checks.models import LogChunk, Run
from releases.doorbell import publish
from tests.engine.support import application_with, check, start


@dataclass
class Writer:
    """A run under way whose log is written by the test."""

    run: Run

    @classmethod
    def begin(cls) -> "Writer":
        application = application_with({"unit": check("suite", params={"command": {"argv": ["true"]}})})
        run = start(application, "checks.unit")
        writer = cls(run)
        writer.claim()
        return writer

    def claim(self) -> None:
        """Take the run as a worker would; a second call is a second attempt."""
        with connection.cursor() as cursor:
            cursor.execute("SELECT nextval('checks_run_token')")
            token = cursor.fetchone()[0]
        Run.objects.filter(pk=self.run.pk).update(
            state="running", token=token, owner=uuid.uuid4(), lease_until=timezone.now(),
            attempt=self.run.attempt + 1, started_at=timezone.now(), log_lines=0,
        )  # fmt: skip
        self.run.refresh_from_db()

    def lines(self, *texts: str, ring: bool = True, body: bool = True) -> None:
        first = self.run.log_lines + 1
        joined = "\n".join(texts)
        stamps = [int(time.time() * 1000)] * len(texts)
        with transaction.atomic():
            LogChunk.objects.create(
                run=self.run, attempt=self.run.attempt, first_line=first, lines=len(texts), bytes=len(joined.encode()),
                sha256=hashlib.sha256(joined.encode()).hexdigest(), token=self.run.token, body=joined, stamps=stamps,
                kinds="o" * len(texts), committed_at=timezone.now(),
            )  # fmt: skip
            Run.objects.filter(pk=self.run.pk).update(log_lines=first + len(texts) - 1)
        self.run.refresh_from_db()
        if ring:
            message: dict[str, object] = {"attempt": self.run.attempt, "first": first, "lines": len(texts)}
            if body:
                message |= {"body": joined, "stamps": stamps, "kinds": "o" * len(texts)}
            publish(self.run.log_channel, message)

    def requeue(self) -> None:
        Run.objects.filter(pk=self.run.pk).update(state="queued", owner=None, lease_until=None)
        self.run.refresh_from_db()

    def seal(self, *, ring: bool = True) -> None:
        Run.objects.filter(pk=self.run.pk).update(state="passed", ended_at=timezone.now(), log_sealed=True)
        self.run.refresh_from_db()
        if ring:
            publish(self.run.log_channel, {"sealed": self.run.log_lines})
