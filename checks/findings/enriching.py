"""What the imported advisories know of a vulnerability that a tool only names: its other ids, and how bad it is.

pip-audit tells neither a score nor a severity.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace

from checks.advisories.scoring import rated
from checks.findings import fingerprints
from checks.models import Advisory
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
    ratings = [rated(row.document) for row in rows]
    scores = [score for score, _ in ratings if score is not None]
    words = [word for _, word in ratings if word]
    cvss = found.cvss if found.cvss is not None else max(scores, default=None)
    severity = Severity(words[0]) if words and found.severity is Severity.UNKNOWN else found.severity
    aliases = sorted((names | {name for row in rows for name in row.names}) - {found.rule.strip().upper()})
    return replace(found, aliases=tuple(aliases), cvss=cvss, severity=severity)
