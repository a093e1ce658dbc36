"""The words of the domain: every state, role and choice, each spelled once."""

from typing import Final

from django.db import models


class Tier(models.TextChoices):
    DEVELOPMENT = "development", "Development"
    STAGING = "staging", "Staging"
    PRODUCTION = "production", "Production"


class Role(models.TextChoices):
    """What a person may do in one application. No role bypasses the gate."""

    VIEWER = "viewer", "Viewer"
    AUDITOR = "auditor", "Auditor"
    ENGINEER = "engineer", "Engineer"
    APPROVER = "approver", "Approver"
    RELEASE_MANAGER = "release_manager", "Release manager"
    ADMINISTRATOR = "administrator", "Administrator"


#: Who asks for a waiver, and who agrees to one.
WAIVER_SIGNERS = (Role.APPROVER, Role.RELEASE_MANAGER)


class ReleaseState(models.TextChoices):
    DRAFT = "draft", "Draft"
    REHEARSING = "rehearsing", "Rehearsing"
    APPROVED = "approved", "Approved"
    DEPLOYING = "deploying", "Deploying"
    WATCHING = "watching", "Watching"
    LIVE = "live", "Live"
    ROLLED_BACK = "rolled_back", "Rolled back"
    FAILED = "failed", "Failed"
    UNKNOWN = "unknown", "Unknown"
    CANCELLED = "cancelled", "Cancelled"


# The only ways from one state to the next. The database holds the same table
# (migration 0003), so that a careless UPDATE is refused there as well.
RELEASE_TRANSITIONS: Final[dict[str, tuple[str, ...]]] = {
    "draft": ("rehearsing", "cancelled"),
    "rehearsing": ("approved", "cancelled", "deploying"),  # straight to deploying by break-glass only
    "approved": ("rehearsing", "deploying", "cancelled"),
    "deploying": ("watching", "failed", "unknown", "rolled_back"),
    "watching": ("live", "deploying", "rolled_back", "failed", "unknown"),
    "live": ("deploying", "rolled_back", "failed", "unknown"),
    "failed": ("deploying", "rolled_back", "unknown", "cancelled"),
    "unknown": ("deploying", "watching", "failed", "rolled_back"),
    "rolled_back": ("rehearsing", "cancelled"),
    "cancelled": (),
}


class Requirement(models.TextChoices):
    """The six go-live requirements, each a station on the board."""

    TESTING = "testing", "Testing"
    SECURITY = "security", "Security"
    SCALABILITY = "scalability", "Scalability"
    TRANSITION = "transition", "User data transition"
    RECOVERY = "recovery", "Backup and recovery"
    MONITORING = "monitoring", "Monitoring and alerts"


class ItemState(models.TextChoices):
    """The computed state of a checklist item; never stored."""

    OPEN = "open", "Open"
    RUNNING = "running", "Running"
    PASSED = "passed", "Passed"
    FAILED = "failed", "Failed"
    ERRORED = "errored", "Errored"
    OTHER_BUILD = "other_build", "About another build"
    OTHER_PLAN = "other_plan", "About another plan"
    EXPIRING = "expiring", "Expires before the window ends"
    EXPIRED = "expired", "Expired"
    WAIVED = "waived", "Waived"


class CaseVerdict(models.TextChoices):
    """What a person found who walked a case of the acceptance."""

    PASSED = "passed", "It passed"
    FAILED = "failed", "It failed"
    BLOCKED = "blocked", "It could not be walked"


class EvidenceSource(models.TextChoices):
    RUN = "run", "Run"
    SIGN_OFF = "sign_off", "Sign-off"
    RECEIPT = "receipt", "Receipt"


class EvidenceVerdict(models.TextChoices):
    """failed: the check said no. errored: the check broke. Neither is ever a pass."""

    PASSED = "passed", "Passed"
    FAILED = "failed", "Failed"
    ERRORED = "errored", "Errored"
    INCONCLUSIVE = "inconclusive", "Inconclusive"


class Choice(models.TextChoices):
    GO = "go", "Go"
    CONCERN = "concern", "Go, with concern"
    HOLD = "hold", "Hold"
    NO_GO = "no_go", "No-go"


class Treatment(models.TextChoices):
    MITIGATE = "mitigate", "Mitigate"
    ACCEPT = "accept", "Accept"
    AVOID = "avoid", "Avoid"
    TRANSFER = "transfer", "Transfer"


class GateVerdict(models.TextChoices):
    GO = "go", "Go"
    HOLD = "hold", "Hold"
    NO_GO = "no_go", "No-go"
