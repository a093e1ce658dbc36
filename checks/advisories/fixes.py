"""A fix that imported advisories name, told to the findings that wait for one: not only the next scan knows of it."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

from checks.advisories.versions import fixed_versions
from checks.findings.accepting import end_where_void, refresh_releases
from checks.models import Advisory, Finding
from releases.models import Application

#: The ids of one vulnerability in one package.
_ASKED: Final = ("names__ecosystem", "names__package", "names__name")


def mark_fixes(ecosystems: Iterable[str], now: datetime) -> list[Finding]:
    """Write the fixes of these ecosystems to open findings that had none, and end what was accepted for want of one.

    Called in the transaction of the import, so that both are seen together.
    """
    open_ones = Finding.objects.filter(
        place__kind="package", resolved_at__isnull=True, joined_into__isnull=True, fixed_in=[]
    )
    wanted = {one.lower(): one for one in ecosystems}
    named: dict[int, set[tuple[str, str, str]]] = defaultdict(set)
    for pk, ecosystem, package, name in open_ones.values_list("pk", *_ASKED):
        if ecosystem and ecosystem.lower() in wanted:
            named[pk].add((wanted[ecosystem.lower()], package, name.upper()))
    found = {pk: versions for pk, asked in named.items() if (versions := _fixes(asked))}
    marked = list(Finding.objects.select_for_update(no_key=True).filter(pk__in=found).order_by("pk"))
    for finding in marked:
        finding.fixed_in = found[finding.pk]
        finding.save(update_fields=["fixed_in"])
    end_where_void(marked, now)
    for application in Application.objects.filter(findings__in=marked).distinct():
        refresh_releases(application)
    return marked


def _fixes(asked: set[tuple[str, str, str]]) -> list[str]:
    """Versions that no longer have what is asked for by (ecosystem, package, name); one query."""
    ecosystem, package, _ = next(iter(asked))
    names = sorted({name for *_, name in asked})
    rows = Advisory.objects.filter(
        packages__ecosystem=ecosystem, packages__package=package, names__overlap=names
    ).values_list("document", flat=True)
    documents: list[Mapping[str, Any]] = list(rows)
    return sorted({version[:100] for each in documents for version in fixed_versions(each, ecosystem, package)})
