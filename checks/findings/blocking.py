"""What findings mean for the gate: an audit that passed because findings were accepted holds only while they are."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Exists, OuterRef

from checks.enums import SEVERITY_RANKS, AcceptanceEnd, OccurrenceChange, RunState
from checks.findings.accepting import WAITING, validly_accepted, why_not
from checks.models import Acceptance, Finding, Occurrence, Run
from releases.domain.gate import Blocker
from releases.domain.wording import moment
from releases.enums import GateVerdict
from releases.models import ChecklistItem, Release

#: What says something about a release when it ends; the newest of them is its audit.
_ANSWERS: Final = (RunState.PASSED, RunState.FAILED, RunState.ERRORED, RunState.LOST)
MOST_NAMED: Final = 10


def blockers(release: Release, at: datetime) -> list[Blocker]:
    return list(blockers_of([release], at).get(release.pk, []))


def blockers_of(releases: Sequence[Release], at: datetime) -> Mapping[UUID, list[Blocker]]:
    """Release -> findings of its newest passed audits, at or over the limit, that nobody validly accepts.

    Three queries for any number of releases. An audit that did not pass blocks by its checklist item already.
    """
    bad = _at_or_over(releases)
    if not bad:
        return {}
    newest = _newest_acceptances({pk for found in bad.values() for pk in found})
    return {release_id: _blockers(found.values(), newest, at) for release_id, found in bad.items()}


def lived_with(release: Release, at: datetime) -> list[Finding]:
    """What would block this release if two people did not accept it for now; worst first. Three queries."""
    bad = _at_or_over([release]).get(release.pk, {})
    accepted = validly_accepted(bad.values(), at)
    return sorted((bad[pk] for pk in accepted), key=lambda one: (-one.rank, one.pk))


def _at_or_over(releases: Sequence[Release]) -> dict[UUID, dict[int, Finding]]:
    """Release -> findings of its newest passed audits at or over their limit, by primary key; two queries."""
    audits = {run.pk: run for run in _newest_audits(releases) if run.state == RunState.PASSED}
    if not audits:
        return {}
    bad: dict[UUID, dict[int, Finding]] = defaultdict(dict)
    seen = Occurrence.objects.filter(run__in=audits).exclude(change=OccurrenceChange.RESOLVED)
    for row in seen.select_related("finding__joined_into").order_by("finding_id"):
        run, finding = audits[row.run_id], row.finding.joined_into or row.finding
        if max(SEVERITY_RANKS[row.severity], finding.rank) >= SEVERITY_RANKS[run.scan.limit]:
            assert run.release_id is not None
            bad[run.release_id][finding.pk] = finding
    return bad


def _newest_audits(releases: Sequence[Release]) -> list[Run]:
    """The newest answer of each section that a blocking item asks for and that looks for findings."""
    asked = ChecklistItem.objects.filter(release=OuterRef("release"), section=OuterRef("section"), blocking=True)
    looked = Run.objects.filter(
        release=OuterRef("release"), section=OuterRef("section"), environment=OuterRef("environment"),
        scan__isnull=False,
    )  # fmt: skip
    runs = Run.objects.filter(Exists(asked), Exists(looked), release__in=releases, state__in=_ANSWERS)
    newest = runs.order_by("release_id", "section", "environment_id", "-number")
    needed = ("release", "section", "environment", "number", "state", "scan__run", "scan__limit")
    return list(newest.distinct("release_id", "section", "environment_id").select_related("scan").only(*needed))


def _newest_acceptances(findings: set[int]) -> dict[int, Acceptance]:
    """Finding -> the acceptance to speak of: the approved one that stands, else the newest."""
    rows = Acceptance.objects.filter(finding__in=findings).order_by("finding", "-requested_at", "-pk")
    found: dict[int, Acceptance] = {}
    for row in rows:
        stands = row.ended_at is None and row.approved_at is not None
        if stands or row.finding_id not in found:
            found[row.finding_id] = row
    return found


def _blockers(findings: Iterable[Finding], newest: dict[int, Acceptance], at: datetime) -> list[Blocker]:
    told = []
    for finding in sorted(findings, key=lambda one: (-one.rank, one.pk)):
        acceptance = newest.get(finding.pk)
        because = why_not(acceptance, finding, at) if acceptance is not None else "nobody"
        if because:
            told.append((finding, _why(because, acceptance)))
    found = [
        Blocker(
            code="finding_not_accepted",
            title=f"Finding: {finding.title}",
            text=f"{finding.get_severity_display()}, {finding.place_text}: {why}",
            target=("finding", str(finding.pk)),
            severity=GateVerdict.NO_GO,
        )
        for finding, why in told[:MOST_NAMED]
    ]
    if more := told[MOST_NAMED:]:
        text = f"{len(more)} more findings at or over the limit are not accepted."
        found.append(
            Blocker("finding_not_accepted", "Findings", text, ("finding", str(more[0][0].pk)), GateVerdict.NO_GO)
        )
    return found


def _why(because: str, acceptance: Acceptance | None) -> str:
    if acceptance is None:
        return "nobody accepted it."
    match because:
        case AcceptanceEnd.EXPIRED:
            return f"its acceptance expired {moment(acceptance.expires_at)}."
        case AcceptanceEnd.SEVERITY:
            return f"it was accepted as {acceptance.severity}, and is worse by now."
        case AcceptanceEnd.FIX:
            return "it was accepted while there was no fix, and there is one now."
        case AcceptanceEnd.WITHDRAWN:
            return "its acceptance was withdrawn."
        case _ if because == WAITING:
            return "a second person has not approved its acceptance."
    return "its acceptance counts no more."
