"""Finding the finding that a seen thing belongs to; a vulnerability by any of its ids, now or known later."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import reduce

from django.db.models import Q

from checks.enums import AcceptanceEnd
from checks.findings.seen import Seen, absorb
from checks.models import Acceptance, Finding, FindingName, Presence
from releases.models import Application


@dataclass
class Matched:
    """``known``: seen things with their finding. ``new``: those without. ``joined``: (absorbed, survivor)."""

    known: list[tuple[Seen, Finding]] = field(default_factory=list)
    new: list[Seen] = field(default_factory=list)
    joined: list[tuple[Finding, Finding]] = field(default_factory=list)


def match(application: Application, everything: Sequence[Seen], now: datetime) -> Matched:
    """Which finding each seen thing is; findings that turn out to be one are joined. The application is locked."""
    matched = Matched()
    plain = [seen for seen in everything if not seen.names]
    stored = Finding.objects.filter(application=application, fingerprint__in=[seen.fingerprint for seen in plain])
    by_fingerprint = {finding.fingerprint: finding for finding in stored}
    for seen in plain:
        finding = by_fingerprint.get(seen.fingerprint)
        if finding is None:
            matched.new.append(seen)
        else:
            matched.known.append((seen, finding))
    _vulnerabilities(application, [seen for seen in everything if seen.names], matched, now)
    return matched


def _vulnerabilities(application: Application, everything: list[Seen], matched: Matched, now: datetime) -> None:
    by_name = _named(application, everything)
    survivors: dict[int, Finding] = {}
    told: dict[int, Seen] = {}
    for seen in everything:
        places = [(seen.place["ecosystem"], seen.place["name"], name) for name in seen.names]
        findings = {by_name[place].pk: by_name[place] for place in places if place in by_name}
        findings = {one.pk: one for one in (_survivor(survivors, finding) for finding in findings.values())}
        if not findings:
            matched.new.append(seen)
            continue
        oldest = findings.pop(min(findings))
        for other in findings.values():
            _join(other, oldest, now)
            survivors[other.pk] = oldest
            matched.joined.append((other, oldest))
        same = [told.pop(pk) for pk in (oldest.pk, *findings) if pk in told]
        told[oldest.pk] = reduce(absorb, same, seen)
    pending = {finding.pk: finding for finding in by_name.values()}
    matched.known += [(seen, pending[pk]) for pk, seen in told.items()]


def _survivor(survivors: dict[int, Finding], finding: Finding) -> Finding:
    while finding.pk in survivors:
        finding = survivors[finding.pk]
    return finding


def _named(application: Application, everything: list[Seen]) -> dict[tuple[str, str, str], Finding]:
    names = {name for seen in everything for name in seen.names}
    packages = {seen.place["name"] for seen in everything}
    rows = FindingName.objects.filter(application=application, name__in=names, package__in=packages)
    pairs = list(rows.values_list("ecosystem", "package", "name", "finding_id"))
    findings = Finding.objects.in_bulk({pk for *_, pk in pairs})
    return {(ecosystem, package, name): findings[pk] for ecosystem, package, name, pk in pairs}


def _join(absorbed: Finding, survivor: Finding, now: datetime) -> None:
    """``survivor`` stands for both from now on; what scans said about the other stays with it, as it was."""
    absorbed.joined_into = survivor
    absorbed.save(update_fields=["joined_into"])
    Finding.objects.filter(joined_into=absorbed).update(joined_into=survivor)
    FindingName.objects.filter(finding=absorbed).update(finding=survivor)
    if absorbed.first_seen_at < survivor.first_seen_at:
        survivor.first_seen_at, survivor.first_run_id = absorbed.first_seen_at, absorbed.first_run_id
    survivor.aliases = sorted({*survivor.aliases, *absorbed.aliases})
    survivor.save(update_fields=["first_seen_at", "first_run", "aliases"])
    _join_presences(absorbed, survivor)
    kept = Acceptance.objects.filter(finding=survivor, ended_at__isnull=True)
    for approved in kept.values_list("approved_at", flat=True):
        same = Acceptance.objects.filter(finding=absorbed, ended_at__isnull=True, approved_at__isnull=approved is None)
        same.update(ended_at=now, ended_because=AcceptanceEnd.JOINED)
    Acceptance.objects.filter(finding=absorbed).update(finding=survivor)


def _join_presences(absorbed: Finding, survivor: Finding) -> None:
    """Where either of them is still there, the one that they are is still there."""
    mine = {row.environment_id: row for row in Presence.objects.filter(finding=survivor)}
    for row in Presence.objects.filter(finding=absorbed):
        own = mine.get(row.environment_id)
        if own is None:
            Presence.objects.filter(pk=row.pk).update(finding=survivor)
            continue
        own.tools = sorted({*own.tools, *row.tools})
        if row.resolved_at is None:
            own.resolved_at, own.resolved_run = None, None
        if row.last_seen_at > own.last_seen_at:
            own.last_seen_at, own.last_run_id = row.last_seen_at, row.last_run_id
        own.save()
        row.delete()


def name_them(application: Application, pairs: Sequence[tuple[Seen, Finding]]) -> None:
    """Remember every id, so that a tool that knows only one of them finds the same finding."""
    rows = [
        FindingName(
            application=application,
            ecosystem=seen.place["ecosystem"],
            package=seen.place["name"],
            name=name,
            finding=finding,
        )
        for seen, finding in pairs
        for name in sorted(seen.names)
    ]
    FindingName.objects.bulk_create(rows, ignore_conflicts=True)


def by_origin(findings: Sequence[Finding]) -> dict[int, list[int]]:
    """Finding -> itself and those joined into it; one query."""
    found: dict[int, list[int]] = defaultdict(list)
    wanted = [finding.pk for finding in findings]
    rows = Finding.objects.filter(Q(pk__in=wanted) | Q(joined_into__in=wanted)).values_list("pk", "joined_into")
    for pk, into in rows:
        found[into or pk].append(pk)
    return found
