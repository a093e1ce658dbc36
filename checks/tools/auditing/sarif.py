"""Reading SARIF 2.1.0, the form in which many scanners tell what they found (OASIS, sarif-v2.1.0).

A log that does not say that its tool ran to the end is no completed look, and neither is one without results: the
standard says that a tool which found nothing writes an empty list, and one that did not scan writes none.
"""

import json
import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from checks.tools.auditing import mapping
from checks.tools.auditing.looking import NotSeen, Seen
from checks.tools.auditing.said import Covered, Family, FilePlace, Found, Place, Severity, SystemPlace

MAX_BYTES: Final = 100 * 1024**2
MAX_RESULTS: Final = 50_000
VERSION: Final = "2.1.0"
#: Kinds of results that nobody has to look at; any other one, known or not, is told.
_NOT_TOLD: Final = ("pass", "notApplicable", "informational")
_LEVELS: Final = {
    "error": Severity.HIGH, "warning": Severity.MEDIUM, "note": Severity.LOW, "none": Severity.LOW,
}  # fmt: skip
_CWE: Final = re.compile(r"\bcwe[-/ ]?(\d{1,5})\b", re.IGNORECASE)


class NotSarif(NotSeen):
    """The file is no SARIF log that can be believed."""


@dataclass(frozen=True)
class Log:
    """``tools``: names and versions of the tools whose runs the log holds.

    ``builds``: for each run the digest of the build that it says it is about (its property ``gonogo.build_digest``), or
    ''.
    """

    tools: tuple[tuple[str, str], ...]
    builds: tuple[str, ...]
    seen: Seen


def read(data: bytes, *, family: Family = Family.SOURCE, whole: bool = False) -> Log:
    """Everything that the runs of a log found. NotSarif, with the place in it, where it cannot be believed.

    ``whole``: somebody vouches that the log tells of everything there is, and not of one part.
    """
    if len(data) > MAX_BYTES:
        raise NotSarif(f"The SARIF file is larger than {MAX_BYTES // 1024**2} MB.", remedy="Split it by tool.")
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise NotSarif(f"The SARIF file is not valid JSON: {error}.", remedy="Was it cut off? Send it again.") from None
    try:
        return _read(_object(tree, ""), family, whole)
    except (AttributeError, TypeError, KeyError, ValueError) as error:
        raise NotSarif(f"The SARIF file does not keep to the schema: {error}.") from error


def _read(log: Mapping[str, Any], family: Family, whole: bool) -> Log:
    if log.get("version") != VERSION:
        raise NotSarif(f"The file says version {log.get('version')!r}; SARIF {VERSION} is read.")
    runs = _list(log.get("runs"), "/runs")
    if any(isinstance(each, dict) and each.get("externalPropertyFileReferences") for each in [log, *runs]) or log.get(
        "inlineExternalProperties"
    ):
        raise NotSarif(
            "The SARIF file keeps a part of itself in external properties, which are not read.",
            remedy="Have the scanner write everything into its runs.",
        )
    if not runs:
        raise NotSarif("The SARIF file holds no run of a tool.")
    read_runs = [_Run(_object(run, f"/runs/{index}"), f"/runs/{index}", family) for index, run in enumerate(runs)]
    found = [one for run in read_runs for one in run.found()]
    looked_at = sum(run.looked_at() for run in read_runs)
    notes = [note for run in read_runs for note in run.notes()]
    tools = tuple(run.tool for run in read_runs)
    covered = [one for run in read_runs for one in run.covered(whole)]
    seen = Seen(found, covered, looked_at, "files and rules", version=tools[0][1], notes=notes)
    return Log(tools, tuple(run.build for run in read_runs), seen)


def _object(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise NotSarif(f"The SARIF file has no object at {where or 'its root'}.")
    return value


def _list(value: Any, where: str) -> Sequence[Any]:
    if not isinstance(value, list):
        raise NotSarif(f"The SARIF file has no list at {where}.")
    return value


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


class _Run:
    """One run of one tool."""

    def __init__(self, run: Mapping[str, Any], where: str, family: Family) -> None:
        self._run, self._where, self._family = run, where, family
        tool = _object(run.get("tool"), f"{where}/tool")
        self._driver = _object(tool.get("driver"), f"{where}/tool/driver")
        name = _text(self._driver.get("name")).strip()
        if not name:
            raise NotSarif(f"The SARIF file names no tool at {where}/tool/driver/name.")
        version = self._driver.get("semanticVersion") or self._driver.get("version")
        self.tool = (name[:60], _text(version)[:60])
        properties = _object(run.get("properties") or {}, f"{where}/properties")
        self.build = _text(properties.get("gonogo.build_digest")).strip().lower().removeprefix("sha256:")[:64]
        components = [self._driver, *_list(tool.get("extensions", []), f"{where}/tool/extensions")]
        self._parts = [
            [_object(rule, f"{where}/tool") for rule in _object(part, where).get("rules") or []] for part in components
        ]
        self._rules = [rule for part in self._parts for rule in part]
        self._by_id = {_text(rule.get("id")): rule for rule in self._rules}
        self._overridden = dict(self._overrides())
        self._ended_well()
        if run.get("results") is None:
            raise NotSarif(f"{name} wrote no list of results, which says that it did not scan.")
        self._results = _list(run["results"], f"{where}/results")
        if len(self._results) > MAX_RESULTS:
            raise NotSarif(f"{name} wrote {len(self._results):,} results; at most {MAX_RESULTS:,} are read.")

    def _overrides(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """How the scanner was told to take a rule in this run, by the rule's id; '' for one that nobody can find."""
        for invocation in _list(self._run.get("invocations", []), f"{self._where}/invocations"):
            for each in _object(invocation, f"{self._where}/invocations").get("ruleConfigurationOverrides") or []:
                descriptor = each["descriptor"]
                by_index = self._at(descriptor.get("index"), descriptor)
                yield _text(descriptor.get("id")) or _text(by_index.get("id")), each["configuration"]

    def _at(self, index: Any, reference: Mapping[str, Any]) -> Mapping[str, Any]:
        """The rule at an index, of the component that the reference names; {} where that is not known."""
        rules = self._rules
        if component := reference.get("toolComponent"):
            number = component.get("index")
            known = isinstance(number, int) and 0 <= number < len(self._parts) - 1
            rules = self._parts[number + 1] if known else []
        return rules[index] if isinstance(index, int) and 0 <= index < len(rules) else {}

    def _configured(self, rule: Mapping[str, Any]) -> Mapping[str, Any]:
        name = _text(rule.get("id"))
        return {**(rule.get("defaultConfiguration") or {}), **(self._overridden.get(name, {}) if name else {})}

    def _ended_well(self) -> None:
        invocations = _list(self._run.get("invocations", []), f"{self._where}/invocations")
        if not invocations:
            raise NotSarif(
                f"{self.tool[0]} does not say that it ran to its end: its run has no invocations.",
                remedy="Have the scanner write invocations with executionSuccessful.",
            )
        for index, invocation in enumerate(invocations):
            told = _object(invocation, f"{self._where}/invocations/{index}")
            if told.get("executionSuccessful") is not True:
                raise NotSarif(f"{self.tool[0]} says that it did not run to its end.", remedy="Look at its own log.")
            for kind in ("toolExecutionNotifications", "toolConfigurationNotifications"):
                for notice in told.get(kind) or []:
                    if _object(notice, self._where).get("level") == "error":
                        said = _text((notice.get("message") or {}).get("text"))[:300]
                        raise NotSarif(f"{self.tool[0]} met an error and may have missed something: {said}")

    def looked_at(self) -> int:
        """Files that it names, else rules, else results: something must show that it looked."""
        return len(self._run.get("artifacts") or []) or len(self._rules) or len(self._results)

    def covered(self, whole: bool) -> Iterator[Covered]:
        """The rules that it names and has not turned off, in the files that it names as those it was to scan.

        Where it names none it may be about one part, so nothing is mended by its silence unless it is ``whole``. A log
        that names no rules does not say what it looked for, and mends nothing either; nor does one that turned
        something off of which nobody knows what it was.
        """
        rules = {
            _text(rule.get("id")) for rule in self._rules if self._configured(rule).get("enabled", True) is not False
        }
        scanned = [
            self._path(artifact.get("location"))
            for artifact in self._run.get("artifacts") or []
            if "analysisTarget" in (artifact.get("roles") or [])
        ]
        places = frozenset(path for path in scanned if path) if scanned or not whole else None
        known = frozenset() if "" in self._overridden else frozenset(rules - {""})
        yield Covered(self._family, places=places, rules=known, own=True)

    def notes(self) -> Iterator[str]:
        suppressed = sum(bool(result.get("suppressions")) for result in self._results if isinstance(result, dict))
        if suppressed:
            yield f"{self.tool[0]} calls {suppressed} results suppressed; they are findings here all the same."

    def found(self) -> Iterator[Found]:
        for index, each in enumerate(self._results):
            where = f"{self._where}/results/{index}"
            result = _object(each, where)
            if result.get("kind") not in _NOT_TOLD and result.get("baselineState") != "absent":
                yield self._found(result, where)

    def _found(self, result: Mapping[str, Any], where: str) -> Found:
        rule = self._rule(result)
        named = result.get("rule") if isinstance(result.get("rule"), dict) else {}
        assert isinstance(named, dict)
        name = _text(result.get("ruleId")) or _text(named.get("id")) or _text(rule.get("id"))
        message = self._message(result, rule)
        if not name and not message:
            raise NotSarif(f"The result at {where} has neither a rule nor a message.")
        short = _text((rule.get("shortDescription") or {}).get("text")) or _text(rule.get("name"))
        properties = rule.get("properties") if isinstance(rule.get("properties"), dict) else {}
        assert isinstance(properties, dict)
        tags = " ".join(str(tag) for tag in properties.get("tags") or [])
        related = json.dumps([rule.get("relationships"), result.get("taxa")])
        cwe = tuple(sorted({int(number) for number in _CWE.findall(f"{tags} {related}")}))
        owasp, asvs = mapping.of_cwe(cwe)
        return Found(
            family=self._family,
            rule=name or message[:100],
            title=(short or message or name)[:300],
            severity=self._severity(result, rule),
            place=self._place(result, where, name),
            detail=message,
            remedy=_text((rule.get("help") or {}).get("text"))[:4000],
            cvss=_score(properties.get("security-severity")),
            cwe=cwe,
            owasp=owasp,
            asvs=asvs,
            link=_text(rule.get("helpUri")),
        )

    def _rule(self, result: Mapping[str, Any]) -> Mapping[str, Any]:
        reference = result.get("rule") if isinstance(result.get("rule"), dict) else {}
        assert isinstance(reference, dict)
        name = _text(result.get("ruleId")) or _text(reference.get("id"))
        # "a/b" is the sub-rule b of the rule a.
        for known in (name, name.rsplit("/", 1)[0]):
            if known in self._by_id and known:
                return self._by_id[known]
        return self._at(result.get("ruleIndex", reference.get("index")), reference)

    @staticmethod
    def _message(result: Mapping[str, Any], rule: Mapping[str, Any]) -> str:
        message = result.get("message") if isinstance(result.get("message"), dict) else {}
        assert isinstance(message, dict)
        text = _text(message.get("text"))
        if not text:
            strings = rule.get("messageStrings") or {}
            text = _text((strings.get(_text(message.get("id"))) or {}).get("text"))
        for number, value in enumerate(message.get("arguments") or []):
            text = text.replace(f"{{{number}}}", str(value))
        return text[:4000]

    def _severity(self, result: Mapping[str, Any], rule: Mapping[str, Any]) -> Severity:
        level = result.get("level") or self._configured(rule).get("level") or "warning"
        return _LEVELS.get(_text(level), Severity.UNKNOWN)

    def _place(self, result: Mapping[str, Any], where: str, name: str) -> Place:
        for each in _list(result.get("locations") or [], f"{where}/locations"):
            location = _object(each, f"{where}/locations")
            physical = location.get("physicalLocation")
            if isinstance(physical, dict) and (path := self._path(physical.get("artifactLocation"))):
                region = physical.get("region") if isinstance(physical.get("region"), dict) else {}
                assert isinstance(region, dict)
                start = region.get("startLine")
                return FilePlace(path, self._code(result, region), start if isinstance(start, int) else 0)
            for logical in location.get("logicalLocations") or []:
                said = _object(logical, f"{where}/locations")
                if told := _text(said.get("fullyQualifiedName")) or _text(said.get("name")):
                    return SystemPlace(told)
        return SystemPlace(name or self.tool[0])

    @staticmethod
    def _code(result: Mapping[str, Any], region: Mapping[str, Any]) -> str:
        """The line itself; else the tool's own print of it, which stays while lines above it move."""
        snippet = _text((region.get("snippet") or {}).get("text"))
        prints = result.get("partialFingerprints") or result.get("fingerprints") or {}
        return snippet or " ".join(f"{key}={prints[key]}" for key in sorted(prints))

    def _path(self, location: Any) -> str:
        if not isinstance(location, dict):
            return ""
        uri, index = _text(location.get("uri")), location.get("index")
        artifacts = self._run.get("artifacts") or []
        if not uri and isinstance(index, int) and 0 <= index < len(artifacts):
            uri = _text((_object(artifacts[index], self._where).get("location") or {}).get("uri"))
        for base in (self._run.get("originalUriBaseIds") or {}).values():
            root = _text(base.get("uri")) if isinstance(base, dict) else ""
            if root and uri.startswith(root):
                uri = uri[len(root) :]
        path = unquote(urlsplit(uri).path if "://" in uri else uri)
        return posixpath.normpath(path).lstrip("/") if path else ""


def _score(value: Any) -> float | None:
    """GitHub's and others' "security-severity": a CVSS base score as a text."""
    try:
        score = float(value)
    except (TypeError, ValueError):
        return None
    return score if 0 < score <= 10 else None
