"""The one table of how each state looks: its glyph, its word and its tone.

A state is never shown by colour alone, so every entry has a drawn glyph and a word.
``releases`` does not import ``checks`` and ``monitoring``; their states stand here as plain words.
An unknown state raises ``UnknownStateError``: a page that would show a wrong light must not be shown.
"""

from dataclasses import dataclass
from typing import Final, Literal

Tone = Literal["go", "hold", "nogo", "idle", "live"]

# Drawn on a square of 16 by 16, stroked in the colour of the text around it.
GLYPHS: Final[dict[str, str]] = {
    "check": '<path d="M2.5 8.5 6.5 12.5 13.5 4"/>',
    "cross": '<path d="M3.5 3.5l9 9M12.5 3.5l-9 9"/>',
    "clock": '<circle cx="8" cy="8" r="6"/><path d="M8 4.7V8l2.4 1.8"/>',
    "dot": '<circle class="solid" cx="8" cy="8" r="5.5"/>',
    "ring": '<circle cx="8" cy="8" r="5.2"/>',
    "dash": '<path d="M3 8h10"/>',
    "flag": '<path d="M4 14.5V2h8.5l-2 3.2 2 3.3H4"/>',
    "alert": '<path d="M8 2.2v7.2M8 13.3v.2"/>',
    "question": '<path d="M5 5.4a3 3 0 1 1 4.6 2.5C8.6 8.6 8 9 8 10.2M8 13.4v.2"/>',
    "back": '<path d="M6 3 2.5 6.5 6 10M3 6.5h6.5a3.6 3.6 0 0 1 0 7.2H6"/>',
    "stop": '<circle cx="8" cy="8" r="5.8"/><path d="M4.2 11.8 11.8 4.2"/>',
    "pause": '<path d="M5.5 3.5v9M10.5 3.5v9"/>',
    "up": '<path d="M8 13V3.5M3.8 7.5 8 3.3l4.2 4.2"/>',
    "down": '<path d="M8 3v9.5M3.8 8.5 8 12.7l4.2-4.2"/>',
    "plus": '<path d="M8 3v10M3 8h10"/>',
    "equal": '<path d="M3 6h10M3 10.5h10"/>',
    "eye": '<path d="M1.5 8S4 3.7 8 3.7s6.5 4.3 6.5 4.3S12 12.3 8 12.3 1.5 8 1.5 8z"/>'
    '<circle class="solid" cx="8" cy="8" r="2"/>',
    "lock": '<rect x="3" y="7" width="10" height="7" rx="1.5"/><path d="M5.2 7V5a2.8 2.8 0 0 1 5.6 0v2"/>',
    "bolt": '<path d="M9 1.8 3.5 9H8l-1 5.2L12.5 7H8z"/>',
    "copy": '<rect x="5.5" y="5.5" width="8" height="8.5" rx="1.5"/><path d="M10.5 2.5h-6a2 2 0 0 0-2 2v6"/>',
    "info": '<path d="M8 7v6M8 3.2v.2"/>',
    "inbox": '<path d="M2 9.5 4 3h8l2 6.5V13H2zM2 9.5h3.5l1 1.8h3l1-1.8H14"/>',
}


@dataclass(frozen=True, slots=True)
class Look:
    """How one state is shown."""

    word: str
    tone: Tone
    glyph: str
    pulses: bool = False


class UnknownStateError(ValueError):
    """The interface has no look for this state. Add it to releases/templatetags/interface_states.py."""


_DRAFT = Look("Draft", "idle", "ring")
_RUNNING = Look("Running", "live", "dot", pulses=True)
_PASSED = Look("Passed", "go", "check")
_FAILED = Look("Failed", "nogo", "cross")
_ERRORED = Look("Errored", "nogo", "alert")
_CANCELLED = Look("Cancelled", "idle", "stop")
_UNKNOWN = Look("Unknown, decide", "hold", "question")
_GO = Look("Go", "go", "check")
_HOLD = Look("Hold", "hold", "clock")
_NO_GO = Look("No-go", "nogo", "cross")

LOOKS: Final[dict[str, dict[str, Look]]] = {
    "release": {
        "draft": _DRAFT,
        "rehearsing": Look("Rehearsing", "live", "ring"),
        "approved": Look("Approved", "go", "check"),
        "deploying": Look("Deploying", "live", "dot", pulses=True),
        "watching": Look("Watching", "live", "eye"),
        "live": Look("Live", "go", "bolt"),
        "rolled_back": Look("Rolled back", "hold", "back"),
        "failed": _FAILED,
        "unknown": _UNKNOWN,
        "cancelled": _CANCELLED,
    },
    "run": {
        "queued": Look("Queued", "idle", "ring"),
        "running": _RUNNING,
        "passed": _PASSED,
        "failed": _FAILED,
        "errored": _ERRORED,
        "cancelled": _CANCELLED,
        "lost": Look("Lost", "hold", "question"),
        "unknown": _UNKNOWN,
    },
    "backup": {
        "drilled": Look("Restored in a drill", "go", "check"),
        "verified": Look("Verified", "live", "eye"),
        "unverified": Look("Not verified", "hold", "question"),
        "faulty": Look("Faulty", "nogo", "cross"),
        "missing": Look("Missing", "nogo", "alert"),
        "removed": Look("Removed", "idle", "dash"),
    },
    "schedule": {
        "waiting": Look("On", "go", "clock"),
        "paused": Look("Paused", "hold", "pause"),
        "missed": Look("Missed", "nogo", "alert"),
        "refused": Look("Started nothing", "nogo", "cross"),
        "gone": Look("Not in the plan", "hold", "question"),
    },
    "step": {
        "waiting": Look("Waiting", "idle", "ring"),
        "running": _RUNNING,
        "passed": _PASSED,
        "failed": _FAILED,
        "errored": _ERRORED,
        "skipped": Look("Skipped", "hold", "dash"),
        "cancelled": _CANCELLED,
    },
    "item": {
        "open": Look("Open", "idle", "ring"),
        "running": _RUNNING,
        "passed": _PASSED,
        "signed": Look("Signed", "go", "check"),
        "failed": _FAILED,
        "errored": _ERRORED,
        "other_build": Look("Other build", "hold", "equal"),
        "other_plan": Look("Other plan", "hold", "equal"),
        "expiring": Look("Expiring", "hold", "clock"),
        "expired": Look("Expired", "nogo", "clock"),
        "waived": Look("Waived", "idle", "flag"),
    },
    "station": {
        "go": _GO,
        "hold": _HOLD,
        "no_go": _NO_GO,
        "running": _RUNNING,
        "expiring": Look("Expiring", "hold", "clock"),
        "waived": Look("Go, waived", "go", "flag"),
        "open": Look("Open", "idle", "ring"),
    },
    "verdict": {"go": _GO, "hold": _HOLD, "no_go": _NO_GO},
    "evidence": {
        "passed": _PASSED,
        "failed": _FAILED,
        "errored": _ERRORED,
        "inconclusive": Look("Inconclusive", "hold", "question"),
        "expired": Look("Expired", "nogo", "clock"),
    },
    "vote": {
        "go": _GO,
        "concern": Look("Go, with concern", "hold", "check"),
        "hold": _HOLD,
        "no_go": _NO_GO,
        "none": Look("No vote", "idle", "ring"),
        "void": Look("Does not count", "idle", "stop"),
    },
    "change": {
        "better": Look("Better", "go", "up"),
        "worse": Look("Worse", "nogo", "down"),
        "new": Look("New", "live", "plus"),
        "gone": Look("Gone", "idle", "dash"),
        "changed": Look("Changed", "hold", "equal"),
        "same": Look("Same", "idle", "equal"),
    },
    "parity": {
        "same": Look("Same", "go", "check"),
        "expected": Look("Expected", "idle", "equal"),
        "drift": Look("Drift", "hold", "alert"),
        "breaking": Look("Breaking", "nogo", "cross"),
        "unknown": Look("Unknown", "nogo", "question"),
    },
    "plant": {
        "caught": Look("Caught", "go", "check"),
        "missed": Look("Missed", "nogo", "cross"),
        "warned": Look("Would only warn", "hold", "equal"),
        "unclear": Look("Not clear", "hold", "question"),
        "untested": Look("Not tested", "idle", "dash"),
    },
    "proof": {
        "proven": Look("Proven", "go", "check"),
        "missed": Look("Proves nothing", "nogo", "cross"),
        "warned": Look("Would only warn", "hold", "equal"),
        "unclear": Look("Not clear", "hold", "question"),
        "untried": Look("Not proven", "idle", "dash"),
    },
    "case": {
        "open": Look("Not walked", "idle", "ring"),
        "outdated": Look("Walk again", "hold", "equal"),
        "passed": _PASSED,
        "failed": _FAILED,
        "blocked": Look("Blocked", "nogo", "stop"),
    },
    "token": {
        "valid": Look("Valid", "go", "check"),
        "expired": Look("Expired", "hold", "clock"),
        "revoked": Look("Revoked", "idle", "cross"),
    },
    "hypothesis": {
        "confirmed": Look("Confirmed", "nogo", "alert"),
        "refuted": Look("Refuted", "go", "check"),
        "untestable": Look("Not testable", "idle", "question"),
    },
    "probe": {
        "up": Look("Up", "go", "check"),
        "down": Look("Down", "nogo", "cross"),
        "slow": Look("Slow", "hold", "clock"),
        "flapping": Look("Flapping", "hold", "alert"),
        "paused": Look("Paused", "idle", "pause"),
        "unknown": Look("No data", "hold", "question"),
        "awaited": Look("Not there yet", "idle", "clock"),
    },
    "watch": {
        "watching": Look("Watching", "live", "eye"),
        "holding": Look("Waits for data", "hold", "question"),
        "passed": Look("Kept its limits", "go", "check"),
        "recommended": Look("Rollback recommended", "nogo", "back"),
        "superseded": Look("Watched anew", "idle", "stop"),
    },
    "incident": {
        "open": Look("Open", "nogo", "alert"),
        "acknowledged": Look("Acknowledged", "hold", "eye"),
        "closed": Look("Closed", "go", "check"),
    },
    "alert": {
        "queued": Look("Queued", "idle", "ring"),
        "sending": Look("Sending", "live", "dot", pulses=True),
        "sent": Look("Sent", "live", "check"),
        "received": Look("Received", "go", "check"),
        "failed": _FAILED,
    },
    "severity": {
        "critical": Look("Critical", "nogo", "alert"),
        "high": Look("High", "nogo", "up"),
        "medium": Look("Medium", "hold", "equal"),
        "low": Look("Low", "idle", "down"),
        "info": Look("Info", "idle", "info"),
        "unknown": Look("Unknown severity", "nogo", "question"),
    },
    "finding": {
        "open": Look("Open", "nogo", "alert"),
        "asked": Look("Open, asked to accept", "nogo", "clock"),
        "accepted": Look("Accepted for now", "hold", "flag"),
        "resolved": Look("Resolved", "go", "check"),
    },
    "advisories": {
        "fresh": Look("Fresh", "go", "check"),
        "old": Look("Older than 7 days", "hold", "clock"),
    },
    "occurrence": {
        "new": Look("New", "nogo", "plus"),
        "still": Look("Still there", "hold", "equal"),
        "reopened": Look("Came back", "nogo", "back"),
        "resolved": Look("Resolved", "go", "check"),
        "unseen": Look("Not looked at", "hold", "question"),
    },
    "acceptance": {
        "waiting": Look("Waits for a second person", "live", "clock"),
        "counts": Look("Counts", "hold", "flag"),
        "withdrawn": Look("Withdrawn", "idle", "stop"),
        "severity": Look("Void, severity rose", "nogo", "up"),
        "fix": Look("Void, a fix appeared", "nogo", "alert"),
        "expired": Look("Expired", "nogo", "clock"),
        "unbacked": Look("Who signed may not any more", "nogo", "cross"),
        "joined": Look("Joined with another", "idle", "equal"),
        "replaced": Look("Replaced", "idle", "dash"),
        "returned": Look("Mended, came back", "nogo", "back"),
    },
    "risk": {
        "over": Look("Over appetite", "nogo", "up"),
        "at": Look("At appetite", "hold", "equal"),
        "within": Look("Within appetite", "go", "check"),
    },
    "ledger": {
        "verified": Look("Verified", "go", "lock"),
        "broken": Look("Broken", "nogo", "alert"),
        "unchecked": Look("Not checked", "idle", "question"),
    },
    "account": {
        "active": Look("Active", "go", "check"),
        "invited": Look("Invited", "live", "clock"),
        "inactive": Look("Inactive", "idle", "stop"),
    },
    "factor": {
        "set": Look("Set", "go", "lock"),
        "missing": Look("Not set", "idle", "dash"),
    },
    "mark": {
        "break_glass": Look("Break-glass", "hold", "bolt"),
        "freeze": Look("Change freeze", "hold", "pause"),
        "no_return": Look("Point of no return", "hold", "stop"),
        "waiting": Look("Wait for you", "live", "inbox"),
    },
}


def look(kind: str, state: str) -> Look:
    """Return the look of ``state`` among the states of ``kind``, e.g. ``look("run", "passed")``.

    Raises UnknownStateError for a kind or a state that the table lacks.
    """
    key = str(state).strip().lower().replace("-", "_").replace(" ", "_")
    try:
        return LOOKS[kind][key]
    except KeyError:
        raise UnknownStateError(f"There is no look for the state {state!r} of a {kind}.") from None
