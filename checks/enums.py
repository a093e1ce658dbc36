"""States of a run and of its steps, each spelled once."""

from typing import Final

from django.db import models


class RunState(models.TextChoices):
    """failed: the check said no. errored: the check broke. unknown: a deploy's worker died; a person must decide."""

    QUEUED = "queued", "Queued"
    RUNNING = "running", "Running"
    PASSED = "passed", "Passed"
    FAILED = "failed", "Failed"
    ERRORED = "errored", "Errored"
    CANCELLED = "cancelled", "Cancelled"
    LOST = "lost", "Lost"
    UNKNOWN = "unknown", "Unknown"


ACTIVE_STATES: Final = (RunState.QUEUED, RunState.RUNNING)
ENDED_STATES: Final = (
    RunState.PASSED,
    RunState.FAILED,
    RunState.ERRORED,
    RunState.CANCELLED,
    RunState.LOST,
    RunState.UNKNOWN,
)

# queued -> queued is a requeue after a lost worker (the attempt grows at the next claim).
RUN_TRANSITIONS: Final[dict[str, tuple[str, ...]]] = {
    "queued": ("running", "cancelled"),
    "running": ("passed", "failed", "errored", "cancelled", "queued", "lost", "unknown"),
    "unknown": ("passed", "failed", "cancelled"),
    "passed": (),
    "failed": (),
    "errored": (),
    "cancelled": (),
    "lost": (),
}


class StepState(models.TextChoices):
    WAITING = "waiting", "Waiting"
    RUNNING = "running", "Running"
    PASSED = "passed", "Passed"
    FAILED = "failed", "Failed"
    ERRORED = "errored", "Errored"
    SKIPPED = "skipped", "Skipped"
    CANCELLED = "cancelled", "Cancelled"


class StepCategory(models.TextChoices):
    FRONT_END = "front_end", "Front end"
    BACK_END = "back_end", "Back end"
    DATABASE = "database", "Database"
    INTEGRATION = "integration", "Integration"
    CHECK = "check", "Check"


class LineKind(models.TextChoices):
    """One letter for each line of a log."""

    OUTPUT = "o", "Output"
    COMMAND = "c", "Command"
    NOTE = "n", "Note"
    ERROR = "e", "Error"
