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


class FindingSeverity(models.TextChoices):
    """``unknown`` is shown as such and counts as high."""

    CRITICAL = "critical", "Critical"
    HIGH = "high", "High"
    MEDIUM = "medium", "Medium"
    LOW = "low", "Low"
    UNKNOWN = "unknown", "Unknown"


#: How bad each severity is wherever two are compared.
SEVERITY_RANKS: Final[dict[str, int]] = {"critical": 4, "high": 3, "unknown": 3, "medium": 2, "low": 1}


class FindingFamily(models.TextChoices):
    """What kind of look found it."""

    DEPENDENCIES = "dependencies", "Dependencies"
    WEB = "web", "Web application"
    TLS = "tls", "TLS"
    HEADERS = "headers", "Headers and cookies"
    AUTHENTICATION = "authentication", "Authentication"
    CONFIGURATION = "configuration", "Configuration"
    SOURCE = "source", "Source code"
    SECRETS = "secrets", "Secrets in the source"


class OccurrenceChange(models.TextChoices):
    """What one scan meant for one finding."""

    NEW = "new", "New"
    STILL = "still", "Still there"
    REOPENED = "reopened", "Came back"
    RESOLVED = "resolved", "No longer there"
    UNSEEN = "unseen", "Not looked at"


class AcceptanceEnd(models.TextChoices):
    """Why an acceptance counts no more. An end by time is evaluated when it is read."""

    WITHDRAWN = "withdrawn", "Withdrawn"
    SEVERITY = "severity", "The severity rose"
    FIX = "fix", "A fix appeared"
    EXPIRED = "expired", "Expired"
    JOINED = "joined", "Joined with another finding"
    REPLACED = "replaced", "Replaced by a newer one"
    RETURNED = "returned", "It was mended and came back"
