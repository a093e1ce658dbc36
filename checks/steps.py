"""Steps of one attempt and the progress of its run, written under the fence and at most four times a second."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.utils import timezone

from checks.enums import StepState
from checks.errors import Cancelled, CheckError, Fenced
from checks.kinds.base import Step
from checks.lease import Lease
from checks.masking import Vocabulary
from checks.models import Run, RunStep
from checks.recorder import Recorder
from checks.tools import server_words

WRITE_SECONDS = 0.25


class StepRecord:
    """The step under way; implements ``StepHandle``."""

    def __init__(self, ledger: "StepLedger", position: int, step: Step) -> None:
        self._ledger = ledger
        self.position, self.step = position, step
        self.changes: dict[str, Any] = {}
        self.figures: dict[str, Any] = {}
        self.fraction: float | None = None
        self.amount: dict[str, Any] = {}
        self.text = ""
        self.state = StepState.PASSED
        self.reason = ""

    def progress(self, done: float, total: float | None = None, unit: str = "") -> None:
        """``done`` of ``total`` units; without a total ``done`` is itself the fraction when it lies in 0..1."""
        whole = total if total is not None else (1.0 if not unit else None)
        self.fraction = min(1.0, max(0.0, done / whole)) if whole else None
        self.amount = {"done": done, "total": total, "unit": unit} if total is not None or unit else {}
        self.changes["fraction"] = self.fraction
        self._ledger.touched()

    def doing(self, text: str) -> None:
        self.text = text[:300]
        self.changes["doing"] = self.text
        self._ledger.touched()

    def figure(self, name: str, value: Any) -> None:
        self.figures[name] = value
        self.changes["figures"] = self.figures
        self._ledger.touched()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Progress, words and figures that belong together are written, and rung, as one."""
        self._ledger.holds = True
        try:
            yield
        finally:
            self._ledger.holds = False
        self._ledger.flush()

    def skip(self, reason: str) -> None:
        self.state, self.reason = StepState.SKIPPED, reason

    def fail(self, reason: str) -> None:
        self.state, self.reason = StepState.FAILED, reason


class StepLedger:
    """All steps of one attempt, in the order in which the kind announced them."""

    def __init__(
        self,
        lease: Lease,
        recorder: Recorder,
        vocabulary: Vocabulary,
        announced: Sequence[Step],
        usual: Mapping[str, float],
    ) -> None:
        self.lease, self.claim, self.recorder, self.vocabulary = lease, lease.claim, recorder, vocabulary
        self.announced = list(announced)
        self._places = {step.key: place for place, step in enumerate(self.announced)}
        if len(self._places) != len(self.announced):
            raise CheckError("Two steps of this run have the same key.", remedy="Give each step a key of its own.")
        known = [usual[step.key] for step in self.announced if step.key in usual]
        middle = sum(known) / len(known) if known else 1.0
        # How much of the whole each step is, from earlier runs; a step never seen before counts as an average one.
        self._weights = [max(0.01, usual.get(step.key, middle)) for step in self.announced]
        self._ended: set[int] = set()
        self._current: StepRecord | None = None
        self._written_at = 0.0
        self._touched = False
        #: Nothing is written until what belongs together has been told.
        self.holds = False

    def announce(self) -> None:
        """Write all steps as waiting."""

        def write() -> None:
            with self.lease.fenced_transaction():
                RunStep.objects.bulk_create(
                    [
                        RunStep(
                            run_id=self.claim.run_id,
                            attempt=self.claim.attempt,
                            position=place + 1,
                            key=step.key,
                            title=step.title[:200],
                            category=step.category,
                        )
                        for place, step in enumerate(self.announced)
                    ],
                    ignore_conflicts=True,
                )

        self.lease.persist(write)

    @contextmanager
    def enter(self, key: str) -> Iterator[StepRecord]:
        self.lease.look()
        if key not in self._places:
            raise CheckError(f"The step {key!r} was not announced.", remedy="This is an error in the kind's module.")
        record = StepRecord(self, self._places[key], self.announced[self._places[key]])
        outer, self._current = self._current, record
        self._write(record, {"state": StepState.RUNNING, "started_at": timezone.now()}, at_once=True)
        try:
            yield record
        except Fenced:
            raise
        except Cancelled:
            self._end(record, StepState.CANCELLED, "")
            raise
        except CheckError as error:
            self._end(record, StepState.ERRORED, error.message)
            raise
        except BaseException as error:
            self._end(record, StepState.ERRORED, f"{type(error).__name__}: {server_words.of_exception(error)}")
            raise
        else:
            self._end(record, record.state, record.reason)
        finally:
            self._current = outer

    def _end(self, record: StepRecord, state: StepState, reason: str) -> None:
        self._ended.add(record.position)
        changes: dict[str, Any] = {"state": state, "reason": self.vocabulary.mask_text(reason)[:500], "doing": ""}
        if state == StepState.PASSED:
            changes["fraction"] = 1.0
        self._write(record, {**changes, "ended_at": timezone.now()}, at_once=True)

    def touched(self) -> None:
        self._touched = True
        self.flush()

    def flush(self) -> None:
        """Write what changed, if the last write is long enough ago; called while a command runs as well."""
        record = self._current
        waited = time.monotonic() - self._written_at >= WRITE_SECONDS
        if self._touched and not self.holds and record is not None and waited:
            self._write(record, {}, at_once=False)

    def _write(self, record: StepRecord, changes: dict[str, Any], *, at_once: bool) -> None:
        changes = {**self.vocabulary.mask_json(record.changes), **changes}
        record.changes = {}
        self._touched = False
        self._written_at = time.monotonic()
        progress = self._progress(record)

        def write() -> None:
            with self.lease.fenced_transaction():
                RunStep.objects.filter(
                    run_id=self.claim.run_id, attempt=self.claim.attempt, key=record.step.key
                ).update(**changes)
                Run.objects.filter(pk=self.claim.run_id, token=self.claim.token).update(progress=progress)

        self.lease.persist(write)
        ring = {"state": "running", "attempt": self.claim.attempt, "step": record.step.key, "progress": progress}
        if at_once:
            ring["step_state"] = str(changes["state"])
        self.recorder.ring(ring)

    def _progress(self, record: StepRecord) -> dict[str, Any]:
        done = sum(self._weights[place] for place in self._ended)
        if record.position not in self._ended and record.fraction:
            done += self._weights[record.position] * record.fraction
        doing = self.vocabulary.mask_text(record.text) or record.step.title
        return {"fraction": round(done / sum(self._weights), 4), "doing": doing[:300], **record.amount}
