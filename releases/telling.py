"""One entry of the ledger in words, for the lists of what happened."""

from collections.abc import Callable, Mapping, Sequence
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
    return f"{document['kind'].replace('_', ' ')} #{document['number']}".capitalize()


def _run_ended(document: Document) -> str:
    after = document.get("after") or {}
    said = after.get("summary") or after.get("error")
    return f"{_run(document)} {after.get('state') or 'ended'}" + (f": {said}" if said else "")


def _run_started(document: Document) -> str:
    place = f" in {document['environment']}" if document.get("environment") else ""
    again = f", again after #{document['retry_of']}" if document.get("retry_of") else ""
    return f"{_run(document)} started{place}{again}"


def _runs(transitions: Sequence[Document]) -> str:
    return ("run " if len(transitions) == 1 else "runs ") + ", ".join(f"#{each['run']}" for each in transitions)


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


def _probe(said: str) -> Callable[[Document], str]:
    return lambda document: f"“{document['probe']}” in {document['environment']} {said}"


def _risk(document: Document) -> str:
    return f"The risk {document['risk'].replace('-', ' ')}"


def _waiver(said: str) -> Callable[[Document], str]:
    return lambda document: f"A waiver of {document['item'].replace('-', ' ')} {said}"


def _plan_adopted(document: Document) -> str:
    return f"The release follows plan v{document['after']['number']}, no longer v{document['before']['number']}"


def _unknown_decided(document: Document) -> str:
    return f"Somebody looked: the deploy {document['outcome'].replace('_', ' ')}{_because(document)}"


_TELLERS: Final[Mapping[str, Callable[[Document], str]]] = {
    "run.started": _run_started,
    "run.ended": _run_ended,
    "run.cancelled": _run_ended,
    "run.decided": _run_ended,
    "run.cancel_requested": lambda document: f"{_run(document)} was asked to stop",
    "run.requeued": lambda document: f"{_run(document)} lost its worker and waits for another",
    "vote.cast": _vote,
    "vote.withdrawn": lambda document: f"The vote of {document['station'].replace('-', ' ')} was withdrawn",
    "poll.opened": lambda document: "Votes were asked for",
    "release.created": lambda document: f"Release made of {document['build']['name']}",
    "release.rehearsal_started": lambda document: "The rehearsal began",
    "release.scheduled": lambda document: "The window was scheduled",
    "release.approved": _state,
    "release.launched": _state,
    "release.deployed": _state,
    "release.went_live": _state,
    "release.rolled_back": _state,
    "release.plan_adopted": _plan_adopted,
    "release.approval_lapsed": lambda document: "The approval lapsed: the gate is closed again",
    "release.deploy_failed": lambda document: f"The deploy failed{_because(document)}",
    "release.deploy_unknown": lambda document: f"Nobody knows what the deploy left{_because(document)}",
    "release.unknown_decided": _unknown_decided,
    "release.rollback_authorised": lambda document: "A rollback was started",
    "release.reopened": lambda document: f"The release is prepared for another try{_because(document)}",
    "release.cancelled": lambda document: f"The release was cancelled{_because(document)}",
    "evidence.recorded": _summary,
    "waiver.requested": lambda document: _waiver("was asked for")(document) + _because(document),
    "waiver.approved": _waiver("was approved"),
    "waiver.revoked": _waiver("was revoked"),
    "risk.assessed": lambda document: (
        f"{_risk(document)} was assessed, {document['likelihood']} × {document['impact']}{_because(document)}"
    ),
    "risk.confirmed": lambda document: f"A second person confirmed where {_risk(document).lower()} stands",
    "risk.opened": lambda document: f"{_risk(document)} stands at its worst{_because(document)}",
    "break_glass.requested": lambda document: f"Break-glass was asked for{_because(document)}",
    "break_glass.approved": lambda document: "A second person approved the break-glass",
    "break_glass.used": lambda document: "The launch went through a closed gate, by break-glass",
    "freeze.created": lambda document: f"A change freeze was declared{_because(document)}",
    "freeze.lifted": lambda document: "The change freeze was lifted",
    "environment.build_running": _build_running,
    "environment.build_changing": lambda document: (
        f"Run #{document['run']} is changing what runs in {document['environment']}"
    ),
    "environment.build_adopted": lambda document: f"{_build_running(document)}, as was said{_because(document)}",
    "secret.set": lambda document: f"The secret {document['name']} was {'replaced' if document['replaced'] else 'set'}",
    "alert.test_sent": lambda document: f"A test alert went to {', '.join(document['channels'])}",
    "incident.opened": lambda document: f"{_probe('is down')(document)}: {document['reason']}",
    "incident.acknowledged": _probe("is looked after"),
    "incident.closed": lambda document: _probe("is no longer watched" if document.get("why") else "is up again")(
        document
    ),
    "watch.restarted": lambda document: f"The release is watched anew{_because(document)}",
    "watch.rollback_recommended": lambda document: f"A rollback is recommended{_because(document)}",
    "ledger.exported": lambda document: "The ledger was downloaded",
    "ledger.verified": lambda document: "The ledger was verified",
    "person.exported": lambda document: "Somebody downloaded their own data",
    "person.erased": lambda document: f"Somebody's account became a pseudonym{_because(document)}",
    "application.created": lambda document: f"The application {document['name']} was made",
    "application.changed": _application_changed,
    "application.plan_folder_moved": lambda document: f"The plan's files stand in {document['after']}",
    "plan.published": lambda document: f"Plan v{document['number']} was published",
    "member.added": lambda document: f"{document['name']} became {_role(document)}",
    "member.removed": lambda document: f"{document['name']} is no longer {_role(document)}",
    "user.created": lambda document: f"An account was made for {document['email']}",
    "user.invited": lambda document: f"{document['name']} was invited at {document['email']}",
    "user.invited_again": lambda document: f"{document['name']} was invited again; older links ended",
    "user.link_shown": lambda document: (
        f"No mail reached {document['name']}, so their link was shown to whoever invited them"
    ),
    "user.accepted": lambda document: f"{document['name']} accepted and chose a password",
    "user.deactivated": lambda document: f"{document['name']} was deactivated{_because(document)}",
    "user.renamed": lambda document: f"{document['before']} is called {document['name']} now",
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
    "transition.settled": lambda document: (
        f"What {_runs(document['transitions'])} moved into {document['environment']} was settled"
        f" by run #{document['number']}"
    ),
    "backup.missing": lambda document: f"{document['manifest']} is not in storage any more; nobody removed it here",
}
