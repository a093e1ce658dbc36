"""One entry of the ledger in words, for the lists of what happened."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from releases.enums import Choice, ReleaseState

Document = Mapping[str, Any]


def told(action: str, document: Document) -> str:
    """'Drill #26 passed: Restored in 4 s …'; an action that nobody described here is told by its name."""
    try:
        text = _TELLERS.get(action, _summary)(document)
    except (KeyError, ValueError):
        text = ""  # An entry is never changed, and may be older than the words of today.
    text = text or action.replace(".", " ").replace("_", " ")
    return text[:1].upper() + text[1:]


def _summary(document: Document) -> str:
    return str(document.get("summary") or "")


def _run(document: Document) -> str:
    return f"{document['kind']} #{document['number']}".capitalize()


def _run_ended(document: Document) -> str:
    after = document.get("after") or {}
    said = after.get("summary") or after.get("error")
    return f"{_run(document)} {after.get('state') or 'ended'}" + (f": {said}" if said else "")


def _run_started(document: Document) -> str:
    place = f" in {document['environment']}" if document.get("environment") else ""
    again = f", again after #{document['retry_of']}" if document.get("retry_of") else ""
    return f"{_run(document)} started{place}{again}"


def _vote(document: Document) -> str:
    choice = Choice(document["choice"]).label.lower()
    comment = f": “{document['comment']}”" if document.get("comment") else ""
    return f"{document['station'].replace('-', ' ')} voted {choice}{comment}"


def _state(document: Document) -> str:
    return f"The release is {ReleaseState(document['after']['state']).label.lower()}"


def _build_running(document: Document) -> str:
    after = document.get("after") or {}
    return f"{document['environment']} runs {after.get('version') or 'a build that nobody can name'}"


_TELLERS: Final[Mapping[str, Callable[[Document], str]]] = {
    "run.started": _run_started,
    "run.ended": _run_ended,
    "run.cancelled": _run_ended,
    "run.decided": _run_ended,
    "run.cancel_requested": lambda document: f"{_run(document)} was asked to stop",
    "run.requeued": lambda document: f"{_run(document)} lost its worker and waits for another",
    "vote.cast": _vote,
    "poll.opened": lambda document: "Votes were asked for",
    "release.created": lambda document: f"Release made of {document['build']['name']}",
    "release.rehearsal_started": lambda document: "The rehearsal began",
    "release.scheduled": lambda document: "The window was scheduled",
    "release.approved": _state,
    "release.launched": _state,
    "release.deployed": _state,
    "release.went_live": _state,
    "release.rolled_back": _state,
    "environment.build_running": _build_running,
}
