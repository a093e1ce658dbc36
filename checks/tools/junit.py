"""Reads JUnit XML as a stream: a report of any size in constant memory, and nothing in it is trusted.

Document types, entities and external references are refused. Cases are counted here and compared with what the
report declares, so that a report which lost its end, or names fewer failures than it declares, is not taken as whole.
"""

import heapq
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final
from xml.sax import SAXException
from xml.sax.handler import ContentHandler
from xml.sax.xmlreader import AttributesImpl

from defusedxml import DefusedXmlException
from defusedxml.expatreader import create_parser

from checks.errors import CheckError

MAX_DEPTH: Final = 100
MAX_BYTES: Final = 1_000_000_000
MAX_FAILURES: Final = 100
MAX_SUITES: Final = 200
MAX_SLOWEST: Final = 10
MAX_NAME: Final = 300
MAX_MESSAGE: Final = 500
MAX_DETAILS: Final = 4_000
_READ_BYTES: Final = 64 * 1024
_MAX_CASES_REMEMBERED: Final = 200_000
_COUNTERS: Final = ("tests", "failures", "errors", "skipped")
_OTHER_SUITES: Final = "(other suites)"
#: What unittest-xml-reporting puts behind a suite's name; with it no suite would ever be found again in another run.
_TIME_OF_RUN: Final = re.compile(r"-20\d{12}$")
#: What writers put into a case's status or result, or call an element in it -> the state it means. A status that is
#: not here is a gap; of elements, which may be anything, only the doubtful ones are.
_WORDS: Final = {
    **dict.fromkeys(("", "passed", "pass", "success", "successful", "ok", "run", "completed", "finished"), "passed"),
    **dict.fromkeys(("skipped", "skip", "notrun", "suppressed", "disabled", "ignored", "pending", "untested", "todo"),
                    "skipped"),
    **dict.fromkeys(("failed", "fail", "failure", "undefined", "timeout", "timedout", "rerunfailure"), "failed"),
    **dict.fromkeys(("error", "errored", "broken", "aborted", "interrupted", "rerunerror"), "errored"),
}  # fmt: skip
#: Elements in a case that say neither yes nor no: PHPUnit calls a class without any test a warning.
_DOUBTFUL: Final = frozenset({"warning", "risky", "incomplete", "inconclusive"})
#: A case that was tried more than once. The first two passed in the end; of the others a failure stands beside.
_TRIED_AGAIN: Final = frozenset({"flakyfailure", "flakyerror", "rerunfailure", "rerunerror", "rerun"})
_OUTSIDE: Final = "(outside of any case)"
_WORST: Final = ("passed", "skipped", "failed", "errored")
_Attributes = Mapping[str, str]


@dataclass
class Counts:
    """Cases by state, and seconds spent in them."""

    passed: int = 0
    failed: int = 0
    errored: int = 0
    skipped: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.errored + self.skipped

    def add(self, state: str, seconds: float) -> None:
        setattr(self, state, getattr(self, state) + 1)
        self.seconds += seconds

    def as_json(self) -> dict[str, Any]:
        return {
            "total": self.total,
            "passed": self.passed,
            "failed": self.failed,
            "errored": self.errored,
            "skipped": self.skipped,
            "seconds": round(self.seconds, 3),
        }


@dataclass(frozen=True)
class Failure:
    """A case that failed or broke. Texts are cut to what a page can show."""

    suite: str
    name: str
    state: str
    message: str
    details: str

    def as_json(self) -> dict[str, str]:
        return {
            "suite": self.suite,
            "name": self.name,
            "state": self.state,
            "message": self.message,
            "details": self.details,
        }


@dataclass
class Report:
    """What one or several files say together.

    ``gaps``: sentences on what a file declares and does not contain; a report with gaps is never a pass.
    ``slowest``: (seconds, suite, name), slowest first. ``builds``: values of the property ``gonogo.build_digest``.
    """

    counts: Counts = field(default_factory=Counts)
    suites: dict[str, Counts] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    slowest: list[tuple[float, str, str]] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    builds: set[str] = field(default_factory=set)
    repeated: int = 0
    flaky: int = 0
    files: int = 0

    @property
    def run(self) -> int:
        """Cases that were really run."""
        return self.counts.total - self.counts.skipped

    @property
    def all_green(self) -> bool:
        return self.run > 0 and not (self.counts.failed or self.counts.errored or self.gaps)

    def as_json(self) -> dict[str, Any]:
        return {
            "counts": self.counts.as_json(),
            "suites": [{"name": name, **counts.as_json()} for name, counts in self.suites.items()],
            "failures": [failure.as_json() for failure in self.failures],
            "failures_not_shown": self.counts.failed + self.counts.errored - len(self.failures),
            "slowest": [{"seconds": seconds, "suite": suite, "name": name} for seconds, suite, name in self.slowest],
            "gaps": self.gaps[:MAX_FAILURES],
            "repeated_names": self.repeated,
            "flaky": self.flaky,
            "files": self.files,
        }


#: Told of each case: suite, name, state, seconds.
Listener = Callable[[str, str, str, float], None]


def read_reports(sources: Iterable[tuple[str, IO[bytes]]], listener: Listener | None = None) -> Report:
    """Read files of JUnit XML, each as (name, open binary file), into one report.

    ``listener`` is told of every case as it is read. CheckError where a file is not whole JUnit XML; what other files
    said does not count then.
    """
    report = Report()
    seen: set[int] = set()
    for name, source in sources:
        _read_one(name, source, report, seen, listener)
        report.files += 1
    report.slowest.sort(reverse=True)
    return report


def _read_one(name: str, source: IO[bytes], report: Report, seen: set[int], listener: Listener | None) -> None:
    parser = create_parser(forbid_dtd=True, forbid_entities=True, forbid_external=True)
    handler = _Handler(name, report, seen, listener)
    parser.setContentHandler(handler)
    size = 0
    try:
        while piece := source.read(_READ_BYTES):
            size += len(piece)
            if size > MAX_BYTES:
                raise CheckError(f"The report {name} is larger than {MAX_BYTES:,} bytes.")
            parser.feed(piece)
        if size == 0:
            raise CheckError(f"The report {name} is empty.", remedy="Look in the log why the tests wrote nothing.")
        parser.close()
    except DefusedXmlException as error:
        raise CheckError(
            f"The report {name} was refused: it declares a document type or entities ({type(error).__name__}).",
            remedy="A JUnit report needs neither; look at what wrote it.",
        ) from None
    except SAXException as error:
        raise CheckError(
            f"The report {name} is not whole XML: {_one_line(str(error), MAX_MESSAGE)}.",
            remedy="The test command probably ended before it had written everything.",
        ) from None


@dataclass
class _Suite:
    path: str
    declared: dict[str, int]
    found: Counts = field(default_factory=Counts)


@dataclass
class _Case:
    name: str
    seconds: float
    state: str = "passed"
    message: str = ""
    flaky: bool = False
    #: What its attributes say; elements inside can only make it worse.
    said: str = "passed"
    #: An error of the suite itself, in its set-up for example, has no case; it counts as one that failed.
    outside: bool = False


class _Handler(ContentHandler):
    """Fills a report. Text is kept only inside a failure, and only as much as is shown."""

    def __init__(self, file: str, report: Report, seen: set[int], listener: Listener | None) -> None:
        super().__init__()
        self.file = file
        self.report = report
        self.seen = seen
        self.listener = listener
        self.depth = 0
        self.suites: list[_Suite] = []
        self.case: _Case | None = None
        self.collecting = ""
        self.text: list[str] = []
        self.text_left = 0
        self.details = ""

    def startElement(self, name: str, attributes: AttributesImpl) -> None:  # noqa: N802 - the interface's name
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise CheckError(f"The report {self.file} is nested deeper than {MAX_DEPTH} elements.")
        given = {_plain(each): value for each, value in attributes.items()}
        name = _plain(name)
        if self.depth == 1 and name not in {"testsuites", "testsuite"}:
            raise CheckError(
                f"The report {self.file} is XML but not JUnit: it begins with <{_one_line(name, 60)}>.",
                remedy="Let the test command write JUnit XML (for pytest: --junit-xml).",
            )
        if name == "property" and given.get("name", "") == "gonogo.build_digest":
            self.report.builds.add(given.get("value", "").strip().lower()[:100])
        elif self.case is None:
            self._start_outside_case(name, given)
        else:
            self._start_in_case(self.case, name, given)

    def _start_outside_case(self, name: str, attributes: _Attributes) -> None:
        if name in {"testsuites", "testsuite"}:
            above = self.suites[-1].path if self.suites else ""
            own = _TIME_OF_RUN.sub("", _one_line(attributes.get("name", ""), MAX_NAME))
            path = " / ".join(part for part in (above, own) if part) if own != above else above
            path = path[-MAX_NAME:]
            self.suites.append(_Suite(path, self._declared(path, attributes)))
        elif name == "testcase":
            title = ".".join(part for part in (attributes.get("classname", ""), attributes.get("name", "")) if part)
            self.case = _Case(_one_line(title, MAX_NAME) or "(no name)", _seconds(attributes.get("time", "")))
            self.case.said = self._said(self.case.name, attributes)
        elif name in {"failure", "error"}:
            self.case = _Case(_OUTSIDE, 0.0, outside=True)
            self._start_in_case(self.case, name, attributes)

    def _declared(self, path: str, attributes: _Attributes) -> dict[str, int]:
        """The counters of a suite. One that cannot be read hides how much is missing, so it is a gap."""
        declared = {}
        for key in _COUNTERS:
            text = attributes.get(key, "").strip()
            if re.fullmatch(r"[0-9]{1,15}", text):
                declared[key] = int(text)
            elif text:
                self._gap(f"{path or self.file} declares {key}={_one_line(text, 40)!r}, which is no number of tests.")
        return declared

    def _said(self, case: str, attributes: _Attributes) -> str:
        worst = "passed"
        for key in ("status", "result"):
            word = attributes.get(key, "").strip().lower()
            if word not in _WORDS:
                self._gap(f"{case} has the {key} {_one_line(word, 40)!r}, of which nobody knows what it means.")
            worst = max(worst, _WORDS.get(word, "passed"), key=_WORST.index)
        return worst

    def _gap(self, text: str) -> None:
        if len(self.report.gaps) < MAX_FAILURES:
            self.report.gaps.append(text)

    def _start_in_case(self, case: _Case, name: str, attributes: _Attributes) -> None:
        case.flaky = case.flaky or name in _TRIED_AGAIN
        if name in _DOUBTFUL:
            self._gap(f"{case.name} holds <{name}>, which says neither that it passed nor that it failed.")
        elif name in {"testcase", "testsuite"}:
            self._gap(f"{case.name} holds a {name} of its own, of which nobody knows whether it counts.")
        state = _WORDS.get(name, "passed")
        if _WORST.index(state) > _WORST.index(case.state):
            case.state = state
            case.message = _one_line(attributes.get("message", "") or attributes.get("type", ""), MAX_MESSAGE)
            self.collecting, self.text, self.text_left = name, [], MAX_DETAILS

    def characters(self, content: str) -> None:
        if self.collecting and self.text_left > 0:
            self.text.append(content[: self.text_left])
            self.text_left -= len(content)

    def endElement(self, name: str) -> None:  # noqa: N802 - the interface's name
        self.depth -= 1
        name = _plain(name)
        if self.collecting == name:
            self.details, self.collecting = "".join(self.text).strip(), ""
            if self.case is not None and self.case.outside:
                self._end_case(self.case)
                self.case, self.details = None, ""
        elif name == "testcase" and self.case is not None:
            self._end_case(self.case)
            self.case, self.details = None, ""
        elif name in {"testsuites", "testsuite"} and self.case is None:
            self._end_suite(self.suites.pop())

    def _end_case(self, case: _Case) -> None:
        case.state = max(case.state, case.said, key=_WORST.index)
        suite = self.suites[-1].path or self.file
        for open_suite in self.suites:
            open_suite.found.add(case.state, case.seconds)
        report = self.report
        report.counts.add(case.state, case.seconds)
        report.flaky += case.flaky
        if self.listener is not None:
            self.listener(suite, case.name, case.state, case.seconds)
        key = suite if suite in report.suites or len(report.suites) < MAX_SUITES else _OTHER_SUITES
        report.suites.setdefault(key, Counts()).add(case.state, case.seconds)
        identity = hash((suite, case.name))
        if identity in self.seen:
            report.repeated += 1
        elif len(self.seen) < _MAX_CASES_REMEMBERED:
            self.seen.add(identity)
        if case.state in {"failed", "errored"} and len(report.failures) < MAX_FAILURES:
            message = case.message or _one_line(self.details, MAX_MESSAGE)
            report.failures.append(Failure(suite, case.name, case.state, message, self.details))
        entry = (case.seconds, suite, case.name)
        if len(report.slowest) < MAX_SLOWEST:
            heapq.heappush(report.slowest, entry)
        else:
            heapq.heappushpop(report.slowest, entry)

    def _end_suite(self, suite: _Suite) -> None:
        bad = suite.found.failed + suite.found.errored
        # Writers differ on whether a broken test is a failure or an error, so these two are compared together.
        declared_bad = suite.declared.get("failures", 0) + suite.declared.get("errors", 0)
        name = suite.path or self.file
        for words, declared, found in (
            ("tests", suite.declared.get("tests", 0), suite.found.total),
            ("failures and errors", declared_bad, bad),
            ("skipped tests", suite.declared.get("skipped", 0), suite.found.skipped),
        ):
            if declared > found:
                self._gap(f"{name} declares {declared} {words} and contains {found}.")


def _plain(name: str) -> str:
    """The name of an element or attribute without its namespace, in small letters: some writers capitalise."""
    return name.rpartition(":")[2].lower()


def _one_line(text: str, limit: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


def _seconds(text: str) -> float:
    """'1.5' and '1,234.5' are read; anything else, also nan and inf, is 0."""
    try:
        value = float(text.replace(",", ""))
    except ValueError:
        return 0.0
    return value if math.isfinite(value) and value > 0 else 0.0
