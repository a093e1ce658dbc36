"""What findings mean for the gate: an audit that passed because findings were accepted holds only while they are.

A waiver of the audit says that its item may be answered otherwise; what it found is accepted finding by finding.
"""

from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from checks.enums import SEVERITY_RANKS, AcceptanceEnd, OccurrenceChange
from checks.findings.accepting import UNBACKED, WAITING, validly_accepted, why_not
from checks.findings.backing import backed
from checks.models import Acceptance, Finding, Occurrence
from releases.domain.gate import Blocker, Statuses
from releases.domain.items import ItemStatus, item_statuses
from releases.domain.wording import moment
from releases.enums import EvidenceVerdict, GateVerdict, ItemState
from releases.models import Release
from releases.queries import plain_rows

MOST_NAMED: Final = 10


def blockers_of(_releases: Sequence[Release], statuses: Statuses, at: datetime) -> Mapping[UUID, list[Blocker]]:
    """Release -> findings of the audits that answer its items, at or over the limit, that nobody validly accepts.

    Four queries for any number of releases. An audit that did not pass and is not waived blocks by its checklist item
    already.
    """
    bad = _at_or_over(statuses)
    if not bad:
        return {}
    newest = _newest_acceptances({pk for found in bad.values() for pk in found})
    signed = backed(newest.values())
    return {release_id: _blockers(found.values(), newest, at, signed) for release_id, found in bad.items()}


def lived_with(release: Release, at: datetime) -> list[Finding]:
    """What would block this release if two people did not accept it for now; worst first."""
    bad = _at_or_over({release.pk: item_statuses(release, at)}).get(release.pk, {})
    accepted = validly_accepted(bad.values(), at)
    return sorted((bad[pk] for pk in accepted), key=lambda one: (-one.rank, one.pk))


def _at_or_over(statuses: Statuses) -> dict[UUID, dict[int, Finding]]:
    """Release -> findings of the audits that answer its items at or over their limit, by primary key; two queries."""
    answered = {run_id: release_id for release_id, items in statuses.items() for run_id in _answers(items)}
    limits: dict[UUID, str] = {}
    if answered:
        limits = dict(plain_rows('SELECT run_id, "limit" FROM checks_scan WHERE run_id = ANY(%s)', list(answered)))
    if not limits:
        return {}
    bad: dict[UUID, dict[int, Finding]] = defaultdict(dict)
    seen = Occurrence.objects.filter(run__in=limits).exclude(change=OccurrenceChange.RESOLVED)
    for row in seen.select_related("finding__joined_into").order_by("finding_id"):
        finding = row.finding.joined_into or row.finding
        if max(SEVERITY_RANKS[row.severity], finding.rank) >= SEVERITY_RANKS[limits[row.run_id]]:
            bad[answered[row.run_id]][finding.pk] = finding
    return bad


def _answers(items: Iterable[ItemStatus]) -> list[UUID]:
    """The runs that are the newest answer of a blocking item, and passed or were waived."""
    return [
        status.evidence.run_id
        for status in items
        if status.item.blocking
        and status.evidence is not None
        and status.evidence.run_id is not None
        and (status.evidence.verdict == EvidenceVerdict.PASSED or status.state == ItemState.WAIVED)
    ]


def _newest_acceptances(findings: set[int]) -> dict[int, Acceptance]:
    """Finding -> the acceptance to speak of: the approved one that stands, else the newest."""
    rows = Acceptance.objects.filter(finding__in=findings).order_by("finding", "-requested_at", "-pk")
    found: dict[int, Acceptance] = {}
    for row in rows:
        stands = row.ended_at is None and row.approved_at is not None
        if stands or row.finding_id not in found:
            found[row.finding_id] = row
    return found


def _blockers(
    findings: Iterable[Finding], newest: dict[int, Acceptance], at: datetime, signed: Container[int]
) -> list[Blocker]:
    told = []
    for finding in sorted(findings, key=lambda one: (-one.rank, one.pk)):
        acceptance = newest.get(finding.pk)
        because = why_not(acceptance, finding, at, signed) if acceptance is not None else "nobody"
        if because:
            told.append((finding, _why(because, acceptance, finding)))
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


def _why(because: str, acceptance: Acceptance | None, finding: Finding) -> str:
    if finding.resolved_at is not None:
        # It cannot be accepted any more, and the audit that answers here has not seen that it is gone.
        return "another look resolved it since; run this audit again."
    if acceptance is None:
        return "nobody accepted it."
    match because:
        case AcceptanceEnd.EXPIRED:
            return f"its acceptance expired {moment(acceptance.expires_at)}."
        case AcceptanceEnd.SEVERITY:
            return f"it was accepted as {acceptance.severity}, and is worse by now."
        case AcceptanceEnd.FIX:
            return "it was accepted while there was no fix, and there is one now."
        case AcceptanceEnd.RETURNED:
            return "it was mended and came back, so it is to be accepted anew."
        case AcceptanceEnd.WITHDRAWN:
            return "its acceptance was withdrawn."
        case _ if because == UNBACKED:
            return "somebody who accepted it may not any more."
        case _ if because == WAITING:
            return "a second person has not approved its acceptance."
    return "its acceptance counts no more."
