"""The only owner of a run's life: claim, heartbeat, fence, verdict, evidence.

``execute`` does one attempt of one run, from the claim to the commit of its end. It needs neither Celery nor HTTP;
a message that comes twice, late or for a run that somebody else has, changes nothing.
"""

import contextlib
import logging
import os
import shutil
import socket
import time
import traceback
import uuid
from dataclasses import replace
from pathlib import Path

from django.conf import settings
from django.db import connection, transaction
from pydantic import ValidationError

from checks import page_queries
from checks.context import Context
from checks.ending import Ending, announce, end_run
from checks.enums import LineKind, RunState
from checks.errors import Cancelled, CheckError, Fenced, NothingSaid
from checks.kinds.base import Inconclusive, Kind, Outcome, get_kind
from checks.lease import CONNECTION_LOST, Claim, Lease
from checks.masking import Vocabulary
from checks.models import Run
from checks.places import Places
from checks.plan import Plan, from_document
from checks.process import Children, sweep
from checks.recorder import Recorder
from checks.salvage import salvage
from checks.steps import StepLedger
from checks.tools import server_words
from releases.errors import DomainError

logger = logging.getLogger(__name__)

#: A fresh name for each process: two workers are never taken for one, not even after a restart under one name.
_owners: dict[int, uuid.UUID] = {}

#: Claims of runs that must be alone in an environment go through one gate, so that no two look at the same moment.
GATE = """
SELECT 1 FROM releases_environment
WHERE id IN (SELECT unnest(alone_in) FROM checks_run WHERE id = %s) ORDER BY id FOR NO KEY UPDATE
"""
CLAIM = """
UPDATE checks_run SET state = 'running', attempt = attempt + 1, token = nextval('checks_run_token'), owner = %s,
    worker = %s, lease_until = clock_timestamp() + make_interval(secs => %s), started_at = clock_timestamp(),
    log_lines = 0, log_bytes = 0, log_sealed = false, log_key = '', progress = '{}'
WHERE id = %s AND state = 'queued' AND cancel_requested_at IS NULL AND NOT EXISTS (
    SELECT 1 FROM checks_run AS other WHERE other.state = 'running' AND (
        other.alone_in && checks_run.alone_in
        OR other.exclusive AND other.environment_id = ANY (checks_run.alone_in)))
RETURNING token, attempt
"""


def execute(run_id: uuid.UUID | str) -> None:
    """Do one attempt of a queued run. Returns at once when it is not queued any more."""
    claimed_at = time.monotonic()
    taken = _claim(uuid.UUID(str(run_id)))
    if taken is not None:
        run, claim, refusal = taken
        _Attempt(run, claim, claimed_at).carry_out(refusal)


def _claim(run_id: uuid.UUID) -> tuple[Run, Claim, DomainError | None] | None:
    """Take the run with one UPDATE, and let its kind take part in the same transaction.

    A run that must wait for another one stays queued; the end of that one sends it to a worker again. Where the kind
    refuses to start (a domain rule), the run is claimed all the same, to be ended with that sentence.
    """
    with transaction.atomic():
        row = _take(run_id)
        if row is None:
            _tell_waiting(run_id)
            return None
        run = load(run_id)
        refusal: DomainError | None = None
        try:
            with transaction.atomic():
                get_kind(run.kind).started(run)
        except DomainError as error:
            refusal = error
        except KeyError as error:
            refusal = DomainError(str(error.args[0]))
        announce(run)
    return load(run_id), Claim(run_id, row[0], row[1], run.log_channel), refusal


def _take(run_id: uuid.UUID) -> tuple[int, int] | None:
    owner = _owners.setdefault(os.getpid(), uuid.uuid4())
    worker = f"{socket.gethostname()}:{os.getpid()}"
    with connection.cursor() as cursor:
        cursor.execute(GATE, [run_id])
        cursor.execute(CLAIM, [owner, worker, float(settings.RUN_LEASE_SECONDS), run_id])
        row = cursor.fetchone()
    return (row[0], row[1]) if row else None


def _tell_waiting(run_id: uuid.UUID) -> None:
    """Let the page of a run that stays queued say for what it waits."""
    run = Run.objects.filter(pk=run_id, state=RunState.QUEUED).exclude(alone_in=[]).first()
    if run is not None:
        announce(run)


def load(run_id: uuid.UUID) -> Run:
    """A run with everything its execution names."""
    return Run.objects.select_related(
        "application",
        "environment",
        "plan_version",
        "started_by",
        "cancel_requested_by",
        "waits_for",
        "release__application",
        "release__source_environment",
        "release__target_environment",
    ).get(pk=run_id)


class _Attempt:
    """One attempt, from its claim to its end."""

    def __init__(self, run: Run, claim: Claim, claimed_at: float) -> None:
        self.run, self.claim = run, claim
        self.children = Children(grace=float(settings.RUN_GRACE_SECONDS), keep_daemons=run.exclusive)
        self.lease = Lease(claim, self.children, claimed_at)
        self.spool = Path(settings.SPOOL_ROOT) / str(run.pk) / str(claim.attempt)
        self.scratch = Path(settings.WORK_ROOT) / str(run.pk) / str(claim.attempt)
        self.vocabulary = Vocabulary(Places.of(run, self.scratch))
        self.recorder: Recorder | None = None

    def carry_out(self, refusal: DomainError | None) -> None:
        self.lease.start()
        try:
            ending = self._judge(refusal)
            self._end(ending)
        except Fenced:
            logger.warning("run.fenced", extra={"run": str(self.run.pk), "attempt": self.claim.attempt})
        finally:
            self.children.end_all(0)
            if self.recorder is not None:
                self.recorder.close()
                self.recorder.discard()
            self.lease.stop()
            for folder in (self.spool, self.scratch):
                shutil.rmtree(folder, ignore_errors=True)
                _remove_if_empty(folder.parent)

    # --- what the run comes to ---------------------------------------------------------------------------------------

    def _judge(self, refusal: DomainError | None) -> Ending:
        """Run the kind and turn whatever happens into an ending. Only Fenced and the worker's own end go through."""
        try:
            if refusal is not None:
                raise CheckError(refusal.message, remedy="Nothing was run. Mend that, then start a new run.")
            self._prepare()
            outcome = self._run_kind()
        except Fenced:
            raise
        except Cancelled:
            return Ending(RunState.CANCELLED, summary="Cancelled while it ran.")
        except Inconclusive as error:
            return self._inconclusive(error)
        except NothingSaid as error:
            return replace(self._errored(error.message, error.remedy), state=RunState.CANCELLED)
        except CheckError as error:
            return self._errored(error.message, error.remedy, error.outcome)
        except Exception as error:  # noqa: BLE001 - a kind that breaks in any way must end as errored, never passed
            return self._broken(error)
        return self._ending_of(outcome)

    def _prepare(self) -> None:
        if self.claim.attempt > 1 and not self.run.exclusive:
            for pid in sweep("GONOGO_RUN", str(self.run.pk)):
                logger.warning("run.swept", extra={"run": str(self.run.pk), "pid": pid})
        if self.claim.attempt > 1:
            self.lease.persist(self._salvage)
        try:
            for folder in (self.spool, self.scratch):
                shutil.rmtree(folder.parent, ignore_errors=True)
                folder.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise CheckError(
                f"The worker cannot make its folder {error.filename}: {error.strerror}.",
                remedy="Free some space, or correct the rights of SPOOL_ROOT and WORK_ROOT on this worker.",
            ) from error
        self.recorder = Recorder(self.lease, self.vocabulary, self.spool)
        self.recorder.start()

    def _salvage(self) -> None:
        with self.lease.fenced_transaction():
            salvage(self.run, self.claim.attempt - 1)

    def _run_kind(self) -> Outcome:
        assert self.recorder is not None
        kind, plan = get_kind(self.run.kind), from_document(self.run.plan_version.document)
        context = self._context(kind, plan)
        announced = kind.steps(plan, self.run.section, context.params)
        usual = self.lease.persist(lambda: page_queries.usual_step_seconds(self.run))
        context.steps = StepLedger(self.lease, self.recorder, self.vocabulary, announced, usual)
        context.steps.announce()
        self._greet()
        context.fetch_build()
        judged = self.run.release_id is not None and kind.judges_what_runs(context.params)
        if judged:
            self._compare_running_build("Nothing was run.")
        outcome = kind.run(context)
        if not isinstance(outcome, Outcome):
            raise CheckError(f"The kind {kind.name} returned no outcome.", remedy="This is an error in its module.")
        # A cancel that came too late changes nothing about what was found; only another owner does.
        if self.lease.fenced:
            raise Fenced
        if judged:
            self._compare_running_build("It changed while this ran, so the result says nothing.")
        self.recorder.flush()
        return outcome

    def _context(self, kind: Kind, plan: Plan) -> Context:
        assert self.recorder is not None
        try:
            params = kind.Params.model_validate(self.run.params)
        except ValidationError as error:
            raise CheckError(f"The parameters do not fit: {error}", remedy="Start a new run.") from error
        if self.run.environment.name not in plan.environments:
            raise CheckError(f"The plan has no environment {self.run.environment.name}.", remedy="Correct the plan.")
        return Context(
            run=self.run,
            plan=plan,
            params=params,
            scratch=self.scratch,
            lease=self.lease,
            children=self.children,
            recorder=self.recorder,
            vocabulary=self.vocabulary,
        )

    def _greet(self) -> None:
        assert self.recorder is not None
        build = f", build {self.run.build_digest[:12]}" if self.run.build_digest else ""
        again = f", attempt {self.claim.attempt}" if self.claim.attempt > 1 else ""
        self.recorder.add(
            LineKind.NOTE,
            f"{self.run.section} in {self.run.environment.name}, plan v{self.run.plan_version.number}{build}{again}, "
            f"on {self.run.worker}",
        )

    def _compare_running_build(self, consequence: str) -> None:
        environment = self.run.environment
        self.lease.persist(environment.refresh_from_db)
        if environment.current_build_digest != self.run.build_digest:
            found = environment.current_version or "a build that nobody can name"
            raise CheckError(
                f"{environment.name} runs {found}, not the build of this release. {consequence}",
                remedy=f"Deploy this release into {environment.name} first, and let nobody change it while this runs.",
            )

    def _ending_of(self, outcome: Outcome) -> Ending:
        masked = self.vocabulary.mask_json
        return Ending(
            RunState.PASSED if outcome.passed is True else RunState.FAILED,
            summary=self.vocabulary.mask_text(outcome.summary),
            figures=masked(outcome.figures),
            result=masked(outcome.result),
            artifacts=[masked(artifact.as_json()) for artifact in outcome.artifacts],
        )

    def _errored(self, message: str, remedy: str, outcome: Outcome | None = None) -> Ending:
        message, remedy = self.vocabulary.mask_text(message), self.vocabulary.mask_text(remedy)
        if self.recorder is not None:
            self.recorder.add(LineKind.ERROR, f"{message} {remedy}".strip())
        if outcome is None:
            return Ending(RunState.ERRORED, error=message, remedy=remedy)
        measured = self._ending_of(outcome)
        return replace(measured, state=RunState.ERRORED, summary="", error=message, remedy=remedy)

    def _inconclusive(self, error: Inconclusive) -> Ending:
        """Errored, and what was seen is kept with it, so that people can look at it."""
        seen = self._ending_of(error.outcome)
        told = self._errored(error.message, error.remedy)
        return replace(told, figures=seen.figures, result=seen.result, artifacts=seen.artifacts)

    def _broken(self, error: Exception) -> Ending:
        self._log_masked("run.broken", error)
        if self.recorder is not None:
            self.recorder.add(LineKind.ERROR, "".join(traceback.format_exception(error)))
        message = f"The check broke: {type(error).__name__}: {server_words.of_exception(error)}"
        return self._errored(message, "The log ends with the traceback. The release was not judged; run it again.")

    def _log_masked(self, event: str, error: BaseException) -> None:
        """Into the worker's own log, which no secret of the plan may reach either: a traceback quotes values."""
        told = self.vocabulary.mask_text("".join(traceback.format_exception(error)))
        logger.error(event, extra={"run": str(self.run.pk), "exception": told})

    # --- its end -----------------------------------------------------------------------------------------------------

    def _end(self, ending: Ending) -> None:
        """Commit the end, in one transaction under the token; a consequence that is refused is an error of the run."""
        self.children.end_all(0)
        log_key = self._finish_log()
        try:
            self._persist_end(ending, log_key)
        except (*CONNECTION_LOST, Fenced):
            raise
        except Exception as error:  # noqa: BLE001 - whatever was refused, the run must end, and never as passed
            refused = self._refused(ending, error)
            try:
                self._persist_end(refused, log_key)
            except (*CONNECTION_LOST, Fenced):
                raise
            except Exception as twice:  # noqa: BLE001 - the same
                self._log_masked("run.end_refused_twice", twice)
                # What stands in an environment is known to nobody now; a check has simply said nothing.
                state = RunState.UNKNOWN if self.run.exclusive else RunState.ERRORED
                self._persist_end(replace(refused, state=state), log_key, consequences=False)

    def _refused(self, ending: Ending, error: Exception) -> Ending:
        self._log_masked("run.consequence_refused", error)
        said = (
            error.message
            if isinstance(error, DomainError)
            else f"{type(error).__name__}: {server_words.of_exception(error)}"
        )
        return Ending(
            RunState.ERRORED,
            error=f"The run came to “{ending.state.label.lower()}” ({ending.said}), but that was refused: {said}",
            remedy="It counts as no pass. Mend what is named, then run it again.",
        )

    def _persist_end(self, ending: Ending, log_key: str, *, consequences: bool = True) -> None:
        self.lease.persist(lambda: self._commit(replace(ending, log_key=log_key), consequences))

    def _finish_log(self) -> str:
        if self.recorder is None:
            return ""
        self.recorder.flush()
        try:
            return self.recorder.store_rest()
        except OSError as error:
            self._log_masked("run.log_rest_not_stored", error)
            self.recorder.add(LineKind.ERROR, "The rest of the log could not be stored and is lost.")
            self.recorder.flush()
            return ""

    def _commit(self, ending: Ending, consequences: bool) -> None:
        with transaction.atomic():
            run = Run.objects.select_for_update(no_key=True).filter(pk=self.run.pk, token=self.claim.token).first()
            if run is None or run.state not in (RunState.RUNNING, ending.state):
                raise Fenced
            if run.state == ending.state:
                return  # an earlier try was committed, only its answer was lost
            run = load(self.run.pk)
            if ending.state == RunState.CANCELLED and run.cancel_requested_by is not None:
                ending = replace(ending, summary=f"Cancelled by {run.cancel_requested_by} while it ran.")
            end_run(run, ending, consequences=consequences)


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
