"""One entry of the ledger in words, for the lists of what happened."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from releases.enums import Choice, ReleaseState, Role

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


def _role(document: Document) -> str:
    station = f" for {document['station'].replace('-', ' ')}" if document.get("station") else ""
    return f"{Role(document['role']).label.lower()}{station}"


def _application_changed(document: Document) -> str:
    before, after = document["before"], document["after"]
    said = [f"{name.replace('_', ' ')} from “{before[name]}” to “{after[name]}”" for name in sorted(after)]
    return f"Changed {', '.join(said)}"


def _because(document: Document) -> str:
    return f": “{document['reason']}”" if document.get("reason") else ""


def _noted(document: Document) -> str:
    return f": “{document['note']}”" if document.get("note") else ""


def _schedule(said: str) -> Callable[[Document], str]:
    def tell(document: Document) -> str:
        facts = document.get("after") or document["before"]
        check = facts["section"].removeprefix("checks.")
        why = f": {document['reason']}" if document.get("reason") else ""
        return f"The schedule of {check} in {facts['environment']} {said}{why}"

    return tell


def _findings(document: Document) -> str:
    figures = document["figures"]
    told = [f"{figures[name]} {word}" for name, word in (
        ("new", "new"), ("reopened", "back again"), ("still_there", "still there"), ("resolved", "resolved")
    ) if figures[name]]  # fmt: skip
    return f"Run #{document['run']} recorded findings: {', '.join(told) or 'none'}"


def _acceptance(said: str) -> Callable[[Document], str]:
    def tell(document: Document) -> str:
        because = f" ({document['because']})" if document.get("because") else ""
        return f"The acceptance of “{document['finding']}” {said}{because}"

    return tell


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
    "application.created": lambda document: f"The application {document['name']} was made",
    "application.changed": _application_changed,
    "application.plan_folder_moved": lambda document: f"The plan's files stand in {document['after']}",
    "plan.published": lambda document: f"Plan v{document['number']} was published",
    "member.added": lambda document: f"{document['name']} became {_role(document)}",
    "member.removed": lambda document: f"{document['name']} is no longer {_role(document)}",
    "user.created": lambda document: f"An account was made for {document['email']}",
    "user.invited": lambda document: f"{document['name']} was invited at {document['email']}",
    "user.invited_again": lambda document: f"{document['name']} was invited again; older links ended",
    "user.accepted": lambda document: f"{document['name']} accepted and chose a password",
    "user.deactivated": lambda document: f"{document['name']} was deactivated{_because(document)}",
    "user.reactivated": lambda document: f"{document['name']} was reactivated",
    "schedule.made": _schedule("was made"),
    "schedule.changed": _schedule("was changed"),
    "schedule.paused": _schedule("was paused"),
    "schedule.resumed": _schedule("goes on"),
    "schedule.removed": _schedule("was removed"),
    "schedule.refused": _schedule("started nothing"),
    "schedule.missed": _schedule("was missed"),
    "findings.recorded": _findings,
    "case.judged": lambda document: f"The case “{document['title']}” {document['verdict']}{_noted(document)}",
    "token.issued": lambda document: f"A key for reports was issued for {document['name']}",
    "token.revoked": lambda document: f"The key for reports of {document['name']} was revoked",
    "finding.acceptance_requested": _acceptance("was asked for"),
    "finding.acceptance_approved": _acceptance("was approved"),
    "finding.acceptance_ended": _acceptance("ended"),
    "advisories.imported": lambda document: (
        f"{document['advisories']} advisories were imported from {document['source']}"
    ),
    "backup.late": lambda document: f"In {document['environment']}, {document['reason']}",
    "backup.in_time": lambda document: f"The backup of {document['environment']} is in time again",
    "backup.removed": lambda document: f"Retention removed {document['manifest']}: {document['because']}",
    "backup.missing": lambda document: f"{document['manifest']} is not in storage any more; nobody removed it here",
}
