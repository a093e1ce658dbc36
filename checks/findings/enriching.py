"""What the imported advisories know of a vulnerability that a tool only names: its other ids, and how bad it is.

pip-audit tells neither a score nor a severity.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from checks.advisories.scoring import rated, says_nothing
from checks.findings import fingerprints
from checks.models import Advisory
from checks.tools.auditing.looking import weight
from checks.tools.auditing.said import Found, PackagePlace, Severity, ToolReport

_Known = dict[tuple[str, str, str], list[Advisory]]


def enriched(reports: Sequence[ToolReport]) -> list[ToolReport]:
    """The same reports, each vulnerability with every id and, where the tool gives none, a score; one query."""
    found = [one for report in reports for one in report.found if isinstance(one.place, PackagePlace)]
    known = _known(found) if found else {}
    if not known:
        return list(reports)
    return [replace(report, found=tuple(_richer(one, known) for one in report.found)) for report in reports]


def _known(found: Iterable[Found]) -> _Known:
    names = sorted({name for one in found for name in fingerprints.identifiers(one)})
    by_place: _Known = defaultdict(list)
    rows = Advisory.objects.filter(names__overlap=names).prefetch_related("packages")
    for row in rows:
        for place in row.packages.all():
            for name in row.names:
                by_place[place.ecosystem, place.package, name].append(row)
    return dict(by_place)


def _richer(found: Found, known: _Known) -> Found:
    place = found.place
    if not isinstance(place, PackagePlace):
        return found
    names = fingerprints.identifiers(found)
    where = fingerprints.place_document(place)
    rows = [row for name in sorted(names) for row in known.get((where["ecosystem"], where["name"], name), ())]
    if not rows:
        return found
    aliases = sorted((names | {name for row in rows for name in row.names}) - {found.rule.strip().upper()})
    return _graver(replace(found, aliases=tuple(aliases)), [row.document for row in rows])


def _graver(found: Found, documents: Sequence[dict[str, Any]]) -> Found:
    """Rated as the tool did or as the advisories do, whichever is graver: one source may know less than another."""
    if says_nothing(*documents):
        return found
    cvss, word = rated(*documents)
    theirs = replace(found, cvss=cvss, severity=Severity(word) if word else Severity.UNKNOWN)
    silent = found.cvss is None and found.severity is Severity.UNKNOWN
    ours, other = (weight(fingerprints.severity_of(one)) for one in (found, theirs))
    return theirs if silent or other > ours or (other == ours and found.cvss is None) else found
