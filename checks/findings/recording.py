"""What the tools of one run said becomes findings that outlive the release."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from checks.enums import SEVERITY_RANKS, AcceptanceEnd, OccurrenceChange
from checks.errors import Fenced
from checks.findings import fingerprints, joining
from checks.findings.accepting import end_where_void, validly_accepted
from checks.findings.coverage import Look, looks
from checks.findings.enriching import enriched
from checks.findings.seen import Seen, together
from checks.models import Acceptance, Finding, Occurrence, Presence, Run, Scan
from checks.tools.auditing.said import Severity, ToolReport
from releases.domain import ledger
from releases.models import Application, ChecklistItem

#: How many findings one entry of the ledger names; the scan's occurrences have all of them.
MAX_NAMED: Final = 200
_DESCRIBED: Final = ("rule", "title", "severity", "rank", "cvss", "detail", "remedy", "aliases", "cwe", "owasp", "asvs",
                     "fixed_in", "link", "place", "place_text")  # fmt: skip


@dataclass(frozen=True)
class Recorded:
    """What a scan changed, as primary keys of findings; what of it stands open.

    ``accepted``: seen now, and two people have validly accepted it. ``open_by_severity``: seen now and not accepted;
    critical, high, medium, low and unknown, each there. ``over_limit``: those of them at or over the limit, worst
    first: the check says no where there is any. ``not_looked_at``: how many are open here where no completed look went.
    ``left_open``: those of them at or over the limit and not accepted, worst first: silence about them is no pass.
    What another blocking audit of this environment saw last is for that one to answer.
    """

    new: tuple[int, ...] = ()
    still_there: tuple[int, ...] = ()
    resolved: tuple[int, ...] = ()
    reopened: tuple[int, ...] = ()
    accepted: tuple[int, ...] = ()
    over_limit: tuple[int, ...] = ()
    not_looked_at: int = 0
    left_open: tuple[int, ...] = ()
    open_by_severity: Mapping[str, int] = field(default_factory=dict)

    @property
    def figures(self) -> dict[str, int]:
        """For an outcome's figures."""
        return {
            "new": len(self.new),
            "still_there": len(self.still_there),
            "resolved": len(self.resolved),
            "reopened": len(self.reopened),
            "accepted": len(self.accepted),
            "over_limit": len(self.over_limit),
            "not_looked_at": self.not_looked_at,
            "left_open": len(self.left_open),
            **{f"open_{severity}": many for severity, many in self.open_by_severity.items()},
        }


@transaction.atomic
def record(*, run: Run, reports: Sequence[ToolReport], limit: Severity = Severity.HIGH) -> Recorded:
    """Keep what the tools of a run said: findings, their occurrences, and what is resolved; and write the ledger.

    May be called again for the same run: a later attempt takes the place of an earlier one. ``limit``: from which
    severity on a finding that is not accepted blocks. Raises Fenced, with nothing kept, where another attempt owns
    the run by now.
    """
    if limit is Severity.UNKNOWN:
        raise ValueError("Unknown counts as high and is no limit.")
    application = Application.objects.select_for_update(no_key=True).get(pk=run.application_id)
    now = timezone.now()
    matched = joining.match(application, together(enriched(reports)), now)
    pairs = [*matched.known, *_create(application, run, matched.new, now)]
    _describe(run, matched.known, now)
    joining.name_them(application, [(seen, finding) for seen, finding in pairs if seen.names])
    end_where_void((finding for _, finding in pairs), now)
    changes = _presences(run, pairs, looks(reports), now)
    _end_returned([finding for _, finding in pairs if changes.of[finding.pk] == OccurrenceChange.REOPENED], now)
    changes.unseen = [each for each in changes.unseen if each.rank >= SEVERITY_RANKS[limit.value]]
    _occur(run, pairs, changes, now)
    recorded = _sum_up(run, pairs, changes, limit, now)
    _keep_scan(run, reports, recorded, limit, now)
    _tell(run, application, reports, recorded, matched, limit)
    held = Run.objects.select_for_update(no_key=True).filter(pk=run.pk, attempt=run.attempt, token=run.token)
    if not held.exists():
        raise Fenced
    return recorded


def _create(
    application: Application, run: Run, everything: Sequence[Seen], now: datetime
) -> list[tuple[Seen, Finding]]:
    findings = [
        Finding(
            application=application,
            fingerprint=seen.fingerprint,
            family=seen.family,
            aliases=_aliases(seen),
            place=seen.place,
            place_text=fingerprints.place_text(seen.place)[:500],
            first_run=run,
            first_seen_at=now,
            last_run=run,
            last_seen_at=now,
            **seen.described(),
        )
        for seen in everything
    ]
    return list(zip(everything, Finding.objects.bulk_create(findings), strict=True))


def _aliases(seen: Seen) -> list[str]:
    return sorted(name[:100] for name in seen.names)


def _describe(run: Run, pairs: Sequence[tuple[Seen, Finding]], now: datetime) -> None:
    """The newest scan's words about each finding; most findings are described as before."""
    changed = []
    for seen, finding in pairs:
        values = seen.described() | {
            "aliases": sorted({*finding.aliases, *_aliases(seen)}),
            "place": seen.place,
            "place_text": fingerprints.place_text(seen.place)[:500],
        }
        if any(getattr(finding, name) != value for name, value in values.items()):
            changed.append(finding)
        for name, value in values.items():
            setattr(finding, name, value)
        finding.last_run, finding.last_seen_at = run, now
    Finding.objects.bulk_update(changed, _DESCRIBED, batch_size=100)
    seen_now = Finding.objects.filter(pk__in=[finding.pk for _, finding in pairs])
    seen_now.update(last_run=run, last_seen_at=now)


@dataclass
class _Changes:
    """Finding -> what this scan means for it; and what is open here without a look.

    ``unseen``: of the latter, what this run's section has to answer.
    """

    of: dict[int, str] = field(default_factory=dict)
    resolved: list[Finding] = field(default_factory=list)
    open: set[int] = field(default_factory=set)
    unseen: list[Finding] = field(default_factory=list)


def _presences(run: Run, pairs: Sequence[tuple[Seen, Finding]], looked: Sequence[Look], now: datetime) -> _Changes:
    changes = _Changes()
    seen_here = {finding.pk for _, finding in pairs}
    here = Presence.objects.filter(environment=run.environment_id)
    rows = {row.finding_id: row for row in here.filter(finding__in=seen_here)}
    fresh: list[Presence] = []
    by_tools: dict[tuple[tuple[str, ...], tuple[str, ...]], list[int]] = defaultdict(list)
    asked = {page for look in looked for page in look.pages}
    for seen, finding in pairs:
        row = rows.get(finding.pk)
        changes.of[finding.pk] = _change(run, finding, row)
        if row is None:
            row = Presence(finding=finding, environment_id=run.environment_id)
            fresh.append(row)
            row.last_run, row.last_seen_at, row.tools, row.pages = run, now, sorted(seen.tools), sorted(seen.pages)
        else:
            before = set(row.pages) if row.resolved_at is None else set()
            pages = seen.pages | (before - asked)
            by_tools[tuple(sorted(seen.tools)), tuple(sorted(pages))].append(row.pk)
    Presence.objects.bulk_create(fresh)
    for (tools, at), known in by_tools.items():
        still = {"last_run": run, "last_seen_at": now, "resolved_run": None, "resolved_at": None}
        Presence.objects.filter(pk__in=known).update(tools=list(tools), pages=list(at), **still)
    _resolve(run, here.exclude(finding__in=seen_here), looked, changes, now)
    _settle({*seen_here, *changes.open, *(finding.pk for finding in changes.resolved)}, now)
    return changes


def _change(run: Run, finding: Finding, row: Presence | None) -> str:
    """Earlier attempts of this same run do not count as earlier scans."""
    if finding.first_run_id == run.pk:
        return OccurrenceChange.NEW
    if row is None:
        came_back = finding.resolved_at is not None
    else:
        came_back = row.resolved_at is not None and row.resolved_run_id != run.pk
    return OccurrenceChange.REOPENED if came_back else OccurrenceChange.STILL


def _resolve(run: Run, rows: Any, looked: Sequence[Look], changes: _Changes, now: datetime) -> None:
    gone: list[int] = []
    asked_again: list[int] = []
    others = _other_audits(run)
    # What an earlier attempt of this run called resolved is asked anew.
    standing = rows.filter(Q(resolved_at__isnull=True) | Q(resolved_run=run))
    for row in standing.select_related("finding", "last_run"):
        finding = row.finding
        where = {"family": finding.family, "names": {finding.rule, *finding.aliases}, "place": finding.place}
        if any(look.went_to(**where, tools=row.tools, pages=row.pages) for look in looked):
            row.resolved_run, row.resolved_at = run, now
            changes.of[finding.pk] = OccurrenceChange.RESOLVED
            changes.resolved.append(finding)
        else:
            row.resolved_run, row.resolved_at = None, None
            changes.open.add(finding.pk)
            if row.last_run.section not in others:
                changes.unseen.append(finding)
        (gone if row.resolved_run else asked_again).append(row.pk)
    Presence.objects.filter(pk__in=gone).update(resolved_run=run, resolved_at=now)
    Presence.objects.filter(pk__in=asked_again, resolved_run=run).update(resolved_run=None, resolved_at=None)


def _other_audits(run: Run) -> set[str]:
    """Sections that block this release beside this one here, so what they saw last is judged by them."""
    here = Q(environment=run.environment_id) | Q(environment__isnull=True)
    blocking = ChecklistItem.objects.filter(here, release=run.release_id, blocking=True).exclude(section=run.section)
    return set(blocking.values_list("section", flat=True)) - {""}


def _settle(touched: Collection[int], now: datetime) -> None:
    """A finding is resolved when it is in no environment any more."""
    still = set(
        Presence.objects.filter(finding__in=touched, resolved_at__isnull=True).values_list("finding_id", flat=True)
    )
    Finding.objects.filter(pk__in=still, resolved_at__isnull=False).update(resolved_at=None)
    Finding.objects.filter(pk__in=set(touched) - still, resolved_at__isnull=True).update(resolved_at=now)


def _end_returned(findings: Collection[Finding], now: datetime) -> None:
    """What was accepted was there before it was mended; that it broke again is for people to judge anew."""
    for acceptance in Acceptance.objects.filter(finding__in=findings, ended_at__isnull=True).select_related("finding"):
        acceptance.ended_at, acceptance.ended_because = now, AcceptanceEnd.RETURNED
        acceptance.save(update_fields=["ended_at", "ended_because"])
        ledger.append(
            action="finding.acceptance_ended",
            actor=None,
            subject=acceptance.finding,
            application=acceptance.finding.application_id,
            document={
                "finding": str(acceptance.finding),
                "severity": acceptance.severity,
                "reason": acceptance.reason,
                "expires_at": acceptance.expires_at,
                "because": AcceptanceEnd.RETURNED.value,
            },
        )


def _occur(run: Run, pairs: Sequence[tuple[Seen, Finding]], changes: _Changes, now: datetime) -> None:
    rows = [
        Occurrence(
            finding=finding, run=run, change=changes.of[finding.pk], severity=seen.severity, tools=sorted(seen.tools),
            versions=seen.versions, lines=seen.lines, at=now,
        )
        for seen, finding in pairs
    ] + [
        Occurrence(finding=finding, run=run, change=OccurrenceChange.RESOLVED, severity=finding.severity, at=now)
        for finding in changes.resolved
    ] + [
        Occurrence(finding=finding, run=run, change=OccurrenceChange.UNSEEN, severity=finding.severity, at=now)
        for finding in changes.unseen
    ]  # fmt: skip
    Occurrence.objects.filter(run=run).delete()  # of an earlier attempt
    Occurrence.objects.bulk_create(rows, batch_size=500)


def _sum_up(
    run: Run, pairs: Sequence[tuple[Seen, Finding]], changes: _Changes, limit: Severity, now: datetime
) -> Recorded:
    findings = sorted((finding for _, finding in pairs), key=lambda one: (-one.rank, one.pk))
    accepted = validly_accepted(findings, now)
    lived_with = validly_accepted(changes.unseen, now)
    unaccepted = [finding for finding in findings if finding.pk not in accepted]
    counted = Counter(finding.severity for finding in unaccepted)

    def those(change: str) -> tuple[int, ...]:
        return tuple(sorted(pk for pk, what in changes.of.items() if what == change))

    return Recorded(
        new=those(OccurrenceChange.NEW),
        still_there=those(OccurrenceChange.STILL),
        resolved=those(OccurrenceChange.RESOLVED),
        reopened=those(OccurrenceChange.REOPENED),
        accepted=tuple(sorted(accepted)),
        over_limit=tuple(one.pk for one in unaccepted if one.rank >= SEVERITY_RANKS[limit.value]),
        not_looked_at=len(changes.open),
        left_open=tuple(
            one.pk for one in sorted(changes.unseen, key=lambda one: (-one.rank, one.pk)) if one.pk not in lived_with
        ),
        open_by_severity={severity.value: counted[severity.value] for severity in Severity},
    )


def _keep_scan(run: Run, reports: Sequence[ToolReport], recorded: Recorded, limit: Severity, now: datetime) -> None:
    tools = [
        {
            "tool": report.tool, "version": report.version, "status": report.status.value, "seconds": report.seconds,
            "found": len(report.found), "looked_at": report.looked_at, "unit": report.unit, "why": report.why,
        }
        for report in reports
    ]  # fmt: skip
    values = {"limit": limit.value, "tools": tools, "figures": recorded.figures, "recorded_at": now}
    Scan.objects.update_or_create(run=run, defaults=values)


def _tell(
    run: Run,
    application: Application,
    reports: Sequence[ToolReport],
    recorded: Recorded,
    matched: joining.Matched,
    limit: Severity,
) -> None:
    ledger.append(
        action="findings.recorded",
        actor=None,
        subject=run,
        application=application,
        document={
            "run": run.number,
            "attempt": run.attempt,
            "environment": run.environment.name,
            "limit": limit.value,
            "tools": [{"tool": report.tool, "status": report.status.value} for report in reports],
            "figures": recorded.figures,
            "new": list(recorded.new[:MAX_NAMED]),
            "reopened": list(recorded.reopened[:MAX_NAMED]),
            "resolved": list(recorded.resolved[:MAX_NAMED]),
            "joined": [[absorbed.pk, survivor.pk] for absorbed, survivor in matched.joined[:MAX_NAMED]],
        },
    )
