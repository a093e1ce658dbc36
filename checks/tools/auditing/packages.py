"""Known vulnerabilities of the build's packages: PyPI by pip-audit, npm lock files by the same source.

What may be asked is tried first: a source that knows nothing wrong even of a release that is known to be bad, answers
nothing. pip-audit says "No known vulnerabilities found" and ends with 0 also when its source answers 404.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

import httpx
from django.conf import settings
from packaging.utils import canonicalize_name
from pydantic import Field

from checks import advisories
from checks.advisories.scoring import rated
from checks.errors import CheckError
from checks.findings import fingerprints
from checks.kinds.base import RunContext, StepHandle
from checks.plan import Command, Duration, Section
from checks.tools import toolbox
from checks.tools.auditing.asking import is_loopback
from checks.tools.auditing.looking import NotSeen, Seen
from checks.tools.auditing.running import parsed, printed_by
from checks.tools.auditing.said import Covered, Family, Found, PackagePlace, Severity
from checks.tools.auditing.source import SourceSection, unpacked
from checks.tools.components import Component
from checks.tools.package_lists import Contents, contents_of, node_locks_in, node_locks_of, together

#: Releases that are known to be bad for ever, by ecosystem.
KNOWN_BAD: Final = {"PyPI": ("django", "3.2"), "npm": ("lodash", "4.17.4")}
PATIENCE_SECONDS: Final = 15.0
#: A list of components names ecosystems as package URLs do; advisories name them as OSV does.
_AS_OSV: Final = {"pypi": "PyPI", "npm": "npm"}
LIST: Final = "installed.txt"
#: How many lines without an exact version are named in one sentence.
MAX_NAMED: Final = 8


class PackagesSection(Section):
    """``installed``: a command that prints what is installed (pip freeze); left empty, the build's own list is read.

    ``advisories_within``: how old imported advisories may be; older ones only warn where the plan does not say.
    """

    installed: Command | None = None
    advisories_within: Duration | None = Field(
        default=None, description="How old imported advisories may be; left empty, old ones only warn."
    )
    timeout: Duration = timedelta(minutes=10)


@dataclass(frozen=True)
class Source:
    """An OSV /v1/query that answers, and what to know of it. ``ages``: by ecosystem, of what was imported."""

    url: str
    notes: tuple[str, ...] = ()
    ages: Mapping[str, timedelta] = field(default_factory=dict)


@dataclass
class PackagesLook:
    """``opened``: gives a source for as long as it is asked."""

    section: PackagesSection
    opened: Callable[[], AbstractContextManager[Source]]
    source: SourceSection = field(default_factory=SourceSection)
    tool: str = "pip-audit"
    before: str = ""
    version: str = ""

    def look(self, context: RunContext, step: StepHandle) -> Seen:
        contents = self._contents(context)
        components = [replace(each, ecosystem=_AS_OSV[each.ecosystem]) for each in contents.components]
        python = [each for each in components if each.ecosystem == "PyPI"]
        others = [each for each in components if each.ecosystem != "PyPI"]
        step.doing(f"{len(components)} packages")
        with self.opened() as asked:
            for ecosystem in sorted({each.ecosystem for each in components}):
                self._refuse_old(ecosystem, asked.ages.get(ecosystem, timedelta(0)))
                refuse_ignorant(asked.url, ecosystem)
            found = self._python(context, python, asked.url) if python else []
            for number, component in enumerate(others, 1):
                context.check()
                step.progress(number, len(others), "packages of npm")
                found += [_of_document(each, component) for each in _query(asked.url, component)]
        _refuse_unknown(contents.unknown, found)
        # Where every list was read, a package that stands in none is gone; a list that is left out may still name it.
        places = frozenset(each.name for each in components) if self.source.exclude else None
        # What has no list this time was not looked up, whatever was found of it before.
        ecosystems = frozenset(each.ecosystem.lower() for each in components)
        covered = [Covered(Family.DEPENDENCIES, places=places, ecosystems=ecosystems)]
        notes = [*asked.notes]
        if contents.without_hashes and self.section.installed is None:
            notes.append(
                f"{', '.join(contents.without_hashes)}: without hashes, so pip also installs what these packages bring"
                " along; that was looked up only where it stands there too."
            )
        if contents.left_out:
            notes.append(f"Left out by the plan: {', '.join(contents.left_out)}.")
        if contents.no_lists:
            notes.append(f"Not taken for lists of packages: {', '.join(contents.no_lists)}.")
        return Seen(found, covered, len(components), "packages", version=self.version, notes=notes)

    def _refuse_old(self, ecosystem: str, age: timedelta) -> None:
        within = self.section.advisories_within
        if within is not None and age > within:
            raise NotSeen(
                f"The imported advisories of {ecosystem} are {age.days} days old, and the plan asks for"
                f" {within.total_seconds() / 86400:g} at most.",
                remedy="Import newer ones, or let the worker reach OSV_URL.",
            )

    def _contents(self, context: RunContext) -> Contents:
        """What is installed or listed, with every lock of npm that lies in the build or in the source of the plan."""
        build, exclude = context.build_file, self.source.exclude
        if self.section.installed is not None:
            parts = [self._installed(context, self.section.installed)]
            parts += [node_locks_of(build, build.name, exclude=exclude)] if build else []
        elif build is None:
            raise NotSeen("The run has no release, so there is no build to look at.", remedy="Start it for a release.")
        else:
            parts = [contents_of(build, build.name, exclude=exclude)]
        if self.source.unpack is not None:
            parts.append(node_locks_in(unpacked(context, self.source)))
        contents = together(parts)
        context.note(f"{len(contents.components)} packages stand in {contents.listing}.")
        return contents

    def _installed(self, context: RunContext, command: Command) -> Contents:
        done = context.capture(command.arguments, timeout=command.timeout.total_seconds(), variables=command.variables)
        path = context.scratch / LIST
        path.write_text(done.output, encoding="utf-8")
        contents = contents_of(path, LIST)
        lines = [line for line in done.output.splitlines() if line.strip() and not line.startswith("#")]
        if len(contents.components) < len(lines):
            such_as = f" Not known: {contents.unknown[0]}" if contents.unknown else ""
            raise NotSeen(
                f"{len(lines)} packages are installed, and the exact version of {len(contents.components)} of them is"
                f" known.{such_as}",
                remedy="Packages from folders and addresses have no version that anybody could look up.",
            )
        return contents

    def _python(self, context: RunContext, components: Sequence[Component], url: str) -> list[Found]:
        argv = toolbox.program(context, "pip-audit", network=not is_loopback(url))
        self.version = toolbox.version_of(context, argv)
        found: list[Found] = []
        for pins in _once_each(components):
            try:
                found += self._asked(context, argv, pins, url)
            except NotSeen as error:
                raise NotSeen(error.why, remedy=error.remedy, found=[*found, *error.found]) from error
        return found

    def _asked(
        self, context: RunContext, argv: Sequence[str], components: Sequence[Component], url: str
    ) -> list[Found]:
        pins, report = context.scratch / "pins.txt", context.scratch / "pip-audit.json"
        report.unlink(missing_ok=True)
        pins.write_text("".join(f"{each.name}=={each.version}\n" for each in components), encoding="utf-8")
        printed = printed_by(
            context,
            [*argv, "-r", str(pins), "--no-deps", "--disable-pip", "-s", "osv", "--osv-url", url, "-f", "json", "-o",
             str(report), "--progress-spinner", "off", "--cache-dir", str(context.scratch / "cache")],
            timeout=self.section.timeout.total_seconds(),
        )  # fmt: skip
        if not report.exists():
            last = next((line for line in reversed(printed.text.splitlines()) if line.strip()), "nothing")
            raise NotSeen(f"pip-audit ended with {printed.returncode} and wrote no report. It said: {last[-300:]}")
        for sign in ("Unsupported OSV schema", "is missing 'affected'"):
            if sign in printed.text:
                raise NotSeen("The source has advisories that pip-audit passes over because it cannot read them.")
        return _read(parsed(report.read_bytes(), self.tool), components, url)


def _once_each(components: Sequence[Component]) -> list[list[Component]]:
    """In lists of which none names a package twice: locks for several platforms do, and pip-audit refuses them."""
    many: Counter[str] = Counter()
    lists: defaultdict[int, list[Component]] = defaultdict(list)
    for each in components:
        lists[many[each.name]].append(each)
        many[each.name] += 1
    return list(lists.values())


def _refuse_unknown(unknown: Sequence[str], found: Sequence[Found]) -> None:
    """NotSeen when the lists name packages whose version nobody knows: what is installed may be anything."""
    if not unknown:
        return
    more = f"; and {len(unknown) - MAX_NAMED} more" if len(unknown) > MAX_NAMED else ""
    raise NotSeen(
        f"{len(unknown)} lines name a package without one exact version, or a list that is not there:"
        f" {'; '.join(unknown[:MAX_NAMED])}{more}. All others were looked up.",
        remedy="Put a lock or a pinned list into the build, leave out a list from which nothing is installed"
        " (source.exclude), or have what is installed looked at (packages.installed).",
        found=found,
    )


def _read(tree: Any, components: Sequence[Component], url: str) -> list[Found]:
    """pip-audit's report; every package must stand in it, and none may have been skipped."""
    try:
        rows = {(canonicalize_name(row["name"]), row.get("version", "")): row for row in tree["dependencies"]}
    except (KeyError, TypeError, AttributeError) as error:
        raise NotSeen(f"pip-audit's report cannot be read: {type(error).__name__} {error}.") from error
    found: list[Found] = []
    for component in components:
        row = rows.get((canonicalize_name(component.name), component.version))
        if row is None or "vulns" not in row:
            why = (row or {}).get("skip_reason", "it does not stand in the report")
            raise NotSeen(f"pip-audit did not look at {component.name} {component.version}: {why}.", found=found)
        if row["vulns"]:
            # pip-audit calls each by the id that it likes best, which may be an alias of the entry.
            documents = _query(url, component)
            found += [_of_row(each, component, _about(each, documents)) for each in row["vulns"]]
    return found


def _about(row: dict[str, Any], documents: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The entries that are this vulnerability, the one that names it first: pip-audit makes one of all, and calls it by
    the id that it likes best, which may be an alias."""
    names = {row["id"], *row.get("aliases", [])}
    same = [each for each in documents if names & {each["id"], *(each.get("aliases") or [])}]
    return sorted(same, key=lambda each: each["id"] != row["id"])


def _of_row(row: dict[str, Any], component: Component, documents: Sequence[dict[str, Any]]) -> Found:
    found = _of_document({**(documents[0] if documents else {}), "id": row["id"]}, component)
    score, word = rated(*documents)
    return replace(
        found,
        cvss=score,
        severity=Severity(word) if word else Severity.UNKNOWN,
        aliases=tuple(sorted({*found.aliases, *row.get("aliases", [])})),
        fixed_in=tuple(row.get("fix_versions", [])),
        detail=str(row.get("description", ""))[:2000],
        remedy=_remedy(component, row.get("fix_versions", [])),
    )


def _of_document(document: dict[str, Any], component: Component) -> Found:
    """An OSV entry about a package. The severity that nobody gave is unknown, and counts as high."""
    special = document.get("database_specific") or {}
    cwe = [int(each.removeprefix("CWE-")) for each in special.get("cwe_ids") or [] if each[4:].isdecimal()]
    fixes = [
        str(event["fixed"])
        for affected in document.get("affected") or []
        if _is_about(affected.get("package"), component)
        for each in affected.get("ranges") or []
        if each.get("type") != "GIT"
        for event in each.get("events") or []
        if "fixed" in event
    ]
    score, word = rated(document)
    return Found(
        family=Family.DEPENDENCIES,
        rule=str(document["id"]),
        title=str(document.get("summary") or f"{document['id']} in {component.name}")[:300],
        severity=Severity(word) if word else Severity.UNKNOWN,
        place=PackagePlace(component.ecosystem, component.name, component.version),
        detail=str(document.get("details") or "")[:2000],
        remedy=_remedy(component, fixes),
        cvss=score,
        aliases=tuple(sorted(map(str, document.get("aliases") or []))),
        cwe=(*cwe, 1395) if 1395 not in cwe else tuple(cwe),
        owasp="A03",
        asvs=("15.2.1",),
        fixed_in=tuple(dict.fromkeys(fixes)),
        link=f"https://osv.dev/vulnerability/{document['id']}",
    )


def _is_about(package: dict[str, Any] | None, component: Component) -> bool:
    """Whether a part of an entry is about this package: an entry may name several, each with fixes of its own."""
    if not package:
        return True
    ours = fingerprints.package(component.ecosystem, component.name)
    ecosystem = str(package.get("ecosystem", "")).split(":")[0]
    return (
        ecosystem.lower() == component.ecosystem.lower()
        and fingerprints.package(ecosystem, str(package.get("name", ""))) == ours
    )


def _remedy(component: Component, fixes: Sequence[str]) -> str:
    return f"Install {component.name} {' or '.join(fixes[:5])}." if fixes else "There is no fixed version yet."


def refuse_ignorant(url: str, ecosystem: str) -> None:
    """NotSeen when the source does not even know what is wrong with a release that is known to be bad."""
    name, version = KNOWN_BAD.get(ecosystem, ("", ""))
    if not name:
        raise NotSeen(f"No source of vulnerabilities of {ecosystem} is known here.")
    if not _query(url, Component(ecosystem, name, version)):
        raise NotSeen(
            f"The source of vulnerabilities knows of none even in {name} {version}, so its answers say nothing.",
            remedy=f"Import advisories of {ecosystem} that are whole.",
        )


def _query(url: str, component: Component) -> list[dict[str, Any]]:
    """OSV entries about this version that are not withdrawn. NotSeen for any answer but a whole one."""
    body = {"package": {"name": component.name, "ecosystem": component.ecosystem}, "version": component.version}
    try:
        answer = httpx.post(url, json=body, timeout=PATIENCE_SECONDS, trust_env=not is_loopback(url))
    except httpx.HTTPError as error:
        raise NotSeen(
            f"The source of vulnerabilities does not answer: {str(error) or type(error).__name__}."
        ) from error
    if answer.status_code != 200:
        raise NotSeen(
            f"The source of vulnerabilities answers {answer.status_code}: {answer.text[:200]}",
            remedy="Import advisories, or correct OSV_URL.",
        )
    tree = parsed(answer.content, "the source of vulnerabilities")
    if not isinstance(tree, dict) or not isinstance(tree.get("vulns", []), list) or tree.get("next_page_token"):
        raise NotSeen("The source of vulnerabilities answers something that is no list of vulnerabilities.")
    for each in tree.get("vulns", []):
        if not _is_entry(each):
            raise NotSeen("The source of vulnerabilities answers an entry that is none of OSV's, or half of one.")
    return [each for each in tree.get("vulns", []) if not each.get("withdrawn")]


def _is_entry(each: Any) -> bool:
    """Whether an entry has the shape of OSV's in all that is read of it."""

    def lists(owner: Any, *names: str) -> bool:
        """Mappings in a list, or nothing at all, under each of these names."""
        return all(
            isinstance(held := owner.get(name) or [], list) and all(isinstance(one, dict) for one in held)
            for name in names
        )

    return (
        isinstance(each, dict)
        and isinstance(each.get("id"), str)
        and isinstance(special := each.get("database_specific") or {}, dict)
        and all(isinstance(one, str) for one in [*(special.get("cwe_ids") or []), *(each.get("aliases") or [])])
        and lists(each, "affected", "severity")
        and all(
            lists(one, "ranges", "severity")
            and isinstance(one.get("package") or {}, dict)
            and all(lists(span, "events") for span in one.get("ranges") or [])
            for one in each.get("affected") or []
        )
    )


@contextmanager
def advisories_to_ask() -> Iterator[Source]:
    """The online source where it is reached, else the advisories that were imported, for as long as they are asked."""
    if settings.OSV_URL and reachable(settings.OSV_URL):
        yield Source(settings.OSV_URL, (f"Asked {settings.OSV_URL}.",))
        return
    ages = {age.ecosystem: age for age in advisories.ages()}
    if not ages:
        reason = f"{settings.OSV_URL} is not reached, and no" if settings.OSV_URL else "No"
        raise NotSeen(f"{reason} advisories were imported.", remedy="Import advisories, or correct OSV_URL.")
    notes = [
        f"Asked the imported advisories of {age.ecosystem}, whose newest is {age.length.days} days old."
        + (" That is too old to know of what was found since." if age.old else "")
        for age in ages.values()
    ]
    with advisories.served() as url:
        yield Source(url, tuple(notes), {age.ecosystem: age.length for age in ages.values()})


def reachable(url: str) -> bool:
    """Whether a source answers as it should, tried with a release that is known to be bad."""
    try:
        refuse_ignorant(url, "PyPI")
    except (NotSeen, CheckError):
        return False
    return True
