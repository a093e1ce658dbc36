"""What all tools of one run say about one thing, taken together."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from typing import Any, Final

from checks.enums import SEVERITY_RANKS
from checks.findings import fingerprints
from checks.findings.fingerprints import clean
from checks.tools.auditing.said import FilePlace, Found, PackagePlace, ToolReport

MAX_TITLE: Final = 300
MAX_RULE: Final = 200
MAX_TEXT: Final = 4000
MAX_LINK: Final = 500
MAX_PAGE: Final = 500
#: How many lines or versions of one thing are kept.
MAX_SPOTS: Final = 100


@dataclass
class Seen:
    """One thing, seen in one run. ``names``: ids of a vulnerability, empty for anything else."""

    fingerprint: str
    place: dict[str, Any]
    names: frozenset[str]
    found: list[Found] = field(default_factory=list)
    tools: set[str] = field(default_factory=set)

    @property
    def worst(self) -> Found:
        """What describes it: of the worst, the one that says most."""
        return max(self.found, key=lambda one: (_rank(one), len(one.detail) + len(one.remedy)))

    @property
    def family(self) -> str:
        return fingerprints.family_of(self.found[0])

    @property
    def severity(self) -> str:
        return fingerprints.severity_of(self.worst).value

    @property
    def rank(self) -> int:
        return SEVERITY_RANKS[self.severity]

    @property
    def versions(self) -> list[str]:
        seen = {clean(one.place.version)[:100] for one in self.found if isinstance(one.place, PackagePlace)}
        return sorted(seen - {""})[:MAX_SPOTS]

    @property
    def lines(self) -> list[int]:
        seen = {one.place.line for one in self.found if isinstance(one.place, FilePlace)}
        return sorted(line for line in seen if 0 < line < 2**31)[:MAX_SPOTS]

    @property
    def pages(self) -> set[str]:
        return {clean(page)[:MAX_PAGE] for one in self.found for page in one.pages}

    def described(self) -> dict[str, Any]:
        """The columns of ``Finding`` that its newest scan sets."""
        one = self.worst
        links = [each.link for each in self.found]
        scores = [each.cvss for each in self.found if each.cvss is not None and 0 <= each.cvss <= 10]
        return {
            "rule": clean(one.rule)[:MAX_RULE],
            "title": clean(one.title or one.rule)[:MAX_TITLE],
            "severity": self.severity,
            "rank": self.rank,
            "cvss": max(scores, default=None),
            "detail": clean(one.detail)[:MAX_TEXT],
            "remedy": clean(one.remedy)[:MAX_TEXT],
            "cwe": sorted({number for each in self.found for number in each.cwe}),
            "owasp": next((clean(each.owasp)[:20] for each in self.found if each.owasp), ""),
            "asvs": sorted({clean(point)[:20] for each in self.found for point in each.asvs}),
            "fixed_in": sorted({clean(version)[:100] for each in self.found for version in each.fixed_in}),
            "link": next((clean(link)[:MAX_LINK] for link in links if link.startswith(("https://", "http://"))), ""),
        }


def _rank(found: Found) -> int:
    return SEVERITY_RANKS[fingerprints.severity_of(found).value]


def together(reports: Iterable[ToolReport]) -> list[Seen]:
    """Everything seen, each thing once. What an incomplete tool saw is there all the same."""
    by_key: dict[str, Seen] = {}
    for report in reports:
        for found in report.found:
            names = fingerprints.identifiers(found) if isinstance(found.place, PackagePlace) else frozenset()
            key = fingerprints.fingerprint(found)
            seen = by_key.setdefault(key, Seen(key, fingerprints.place_document(found.place), names))
            seen.names |= names
            seen.found.append(found)
            seen.tools.add(report.tool[:60])
    return _joined(list(by_key.values()))


def _joined(everything: Sequence[Seen]) -> list[Seen]:
    """One vulnerability under several ids is one thing, also over a chain: A names B, and B names C."""
    whole: dict[tuple[str, str, str], Seen] = {}
    alone: list[Seen] = []
    for seen in everything:
        if not seen.names:
            alone.append(seen)
            continue
        places = [(seen.place["ecosystem"], seen.place["name"], name) for name in seen.names]
        same = {id(whole[place]): whole[place] for place in places if place in whole}
        all_of_it = reduce(absorb, same.values(), seen)
        for name in all_of_it.names:
            whole[seen.place["ecosystem"], seen.place["name"], name] = all_of_it
    return [*alone, *{id(seen): seen for seen in whole.values()}.values()]


def absorb(one: Seen, other: Seen) -> Seen:
    """Both as one, under the fingerprint of the preferred of all their ids."""
    names = one.names | other.names
    first = replace(other.found[0], rule=fingerprints.preferred(names))
    return Seen(
        fingerprint=fingerprints.fingerprint(replace(first, aliases=tuple(sorted(names)))),
        place=one.place,
        names=names,
        found=[*other.found, *one.found],
        tools=other.tools | one.tools,
    )
