"""The cases of one run of a suite, kept as a file, and compared with those of other runs.

Flaky: passed in one run and failed in another of the same build. Against the last release: new failures, tests that are
gone or no longer run, and slower ones.
"""

import csv
import io
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from django.core.files.storage import default_storage

from checks.enums import RunState
from checks.models import Run
from releases import spreadsheet

FILE: Final = "cases.csv"
COLUMNS: Final = ("suite", "test", "state", "seconds", "times")
MAX_CASES: Final = 200_000
#: So many earlier runs of the same build, and of the last release, are looked at.
MAX_RUNS: Final = 5
MAX_SHOWN: Final = 100
#: Slower: more than so many times the median of the last release's runs, and more by so many seconds.
SLOWER_TIMES: Final = 2.0
SLOWER_SECONDS: Final = 0.5
RULE: Final = (
    f"slower means: more than {SLOWER_TIMES:g} times the median of the last release's runs, and over "
    f"{SLOWER_SECONDS:g} s more"
)
_WORST: Final = ("passed", "skipped", "failed", "errored")
BAD: Final = frozenset({"failed", "errored"})
_BOTH: Final = {"passed", "failed"}


class Key(NamedTuple):
    suite: str
    test: str


@dataclass(slots=True)
class Case:
    state: str
    seconds: float
    times: int = 1


class Cases:
    """Every case of a run by suite and name; what shares a name is one case, with the worst state of them."""

    def __init__(self) -> None:
        self.found: dict[Key, Case] = {}
        self.dropped = 0

    def __call__(self, suite: str, name: str, state: str, seconds: float) -> None:
        # As a cell is written, so that what was read back compares with what was just read.
        key = Key(spreadsheet.cell(suite), spreadsheet.cell(name))
        case = self.found.get(key)
        if case is not None:
            case.state = max(case.state, state, key=_WORST.index)
            case.seconds += seconds
            case.times += 1
        elif len(self.found) < MAX_CASES:
            self.found[key] = Case(state, seconds)
        else:
            self.dropped += 1

    def write(self, path: Path) -> Path:
        with path.open("wb") as out:
            out.write(spreadsheet.line(COLUMNS))
            for key, case in self.found.items():
                out.write(spreadsheet.line((key.suite, key.test, case.state, f"{case.seconds:.4f}", case.times)))
        return path


@dataclass
class Comparison:
    """``base``: the run of the last release that was compared with; None where there is none, and ``why`` not."""

    base: Run | None = None
    why: str = ""
    new_failures: list[Key] = field(default_factory=list)
    gone: list[Key] = field(default_factory=list)
    not_run: list[Key] = field(default_factory=list)
    added: int = 0
    slower: list[tuple[Key, float, float]] = field(default_factory=list)
    flaky: list[tuple[Key, list[tuple[int, str]]]] = field(default_factory=list)
    runs_of_this_build: int = 1

    def as_json(self) -> dict[str, Any]:
        base = self.base
        return {
            "base": {"run": base.number, "version": base.release.version if base.release else "",
                     "build": base.build_digest} if base else None,
            "why": self.why,
            "new_failures": [key._asdict() for key in self.new_failures[:MAX_SHOWN]],
            "gone": [key._asdict() for key in self.gone[:MAX_SHOWN]],
            "not_run": [key._asdict() for key in self.not_run[:MAX_SHOWN]],
            "slower": [{**key._asdict(), "before": before, "now": now} for key, before, now in
                       self.slower[:MAX_SHOWN]],
            "flaky": [{**key._asdict(), "runs": [{"run": run, "state": state} for run, state in runs]}
                      for key, runs in self.flaky[:MAX_SHOWN]],
            "counts": {"new_failures": len(self.new_failures), "gone": len(self.gone), "not_run": len(self.not_run),
                       "slower": len(self.slower), "flaky": len(self.flaky), "added": self.added},
            "runs_of_this_build": self.runs_of_this_build,
            "rule": RULE,
        }  # fmt: skip


def compare(run: Run, cases: Cases) -> Comparison:
    """The cases of ``run`` against earlier runs of its section: of the same build, and of the last release."""
    found = Comparison()
    if cases.dropped:
        found.why = f"more than {MAX_CASES:,} tests; nothing was compared"
        return found
    if run.build_digest:
        _find_flaky(run, cases.found, found)
    base = _of_last_release(run)
    if not base:
        found.why = "no earlier build was tested by this section"
        return found
    _against(cases.found, base, found)
    if found.base is None:
        found.why = f"what run #{base[0].number} kept of its tests cannot be read any more"
    return found


def _ended(run: Run) -> Any:
    """Earlier runs of the same question that came to a verdict, newest first."""
    judged = Run.objects.filter(application=run.application_id, section=run.section, kind=run.kind,
                                environment=run.environment_id, state__in=(RunState.PASSED, RunState.FAILED),
                                number__lt=run.number)  # fmt: skip
    return judged.select_related("release").order_by("-number")


def _find_flaky(run: Run, now: Mapping[Key, Case], found: Comparison) -> None:
    """Those that disagree with now, each with what all runs of this build said of it, newest first."""
    readable: list[Run] = []
    disagree: set[Key] = set()
    for earlier in _ended(run).filter(build_digest=run.build_digest)[:MAX_RUNS]:
        kept = _kept(earlier, lambda key, case: key in now and {_verdict(now[key]), _verdict(case)} == _BOTH)
        if kept is not None:
            readable.append(earlier)
            disagree.update(kept.cases)
    found.runs_of_this_build += len(readable)
    told = {key: [(run.number, now[key].state)] for key in sorted(disagree)}
    for earlier in readable if disagree else ():
        kept = _kept(earlier, lambda key, case: key in disagree)
        for key, case in kept.cases.items() if kept else ():
            told[key].append((earlier.number, case.state))
    found.flaky = list(told.items())


def _verdict(case: Case) -> str:
    return "failed" if case.state in BAD else case.state


def _of_last_release(run: Run) -> Sequence[Run]:
    """Runs of the build that went live last, or, where none was tested, of the newest other build."""
    others = _ended(run).exclude(build_digest=run.build_digest).exclude(build_digest="")
    newest = others.filter(release__live_at__isnull=False).order_by("-release__live_at", "-number").first()
    newest = newest or others.first()
    if newest is None:
        return []
    return list(others.filter(build_digest=newest.build_digest)[:MAX_RUNS])


def _against(now: Mapping[Key, Case], runs: Sequence[Run], found: Comparison) -> None:
    """With the newest of these runs that can be read; how long a test usually takes is told by all of them."""

    def may_be_slower(key: Key, _case: Case) -> bool:
        return key in now and now[key].state == "passed" and now[key].seconds > SLOWER_SECONDS

    def tells(key: Key, case: Case) -> bool:
        return key not in now or now[key].state != "passed" or (case.state == "passed" and may_be_slower(key, case))

    before: _Kept | None = None
    usual: dict[Key, list[float]] = {}
    for run in runs:
        kept = _kept(run, tells if before is None else may_be_slower)
        if kept is None:
            continue
        if before is None:
            before, found.base = kept, run
            usual = {key: [] for key, case in kept.cases.items() if tells(key, case) and may_be_slower(key, case)}
        for key in usual.keys() & kept.cases.keys():
            usual[key].append(kept.cases[key].seconds)
    if before is not None:
        _tell(now, before, usual, found)


def _tell(now: Mapping[Key, Case], before: "_Kept", usual: Mapping[Key, Sequence[float]], found: Comparison) -> None:
    for key, case in now.items():
        if case.state == "passed":
            continue
        old = before.cases.get(key)
        if case.state in BAD and (old is None or old.state not in BAD):
            found.new_failures.append(key)
        elif case.state == "skipped" and old is not None and old.state != "skipped":
            found.not_run.append(key)
    found.gone = sorted(key for key in before.cases if key not in now)
    found.added = len(now) - (before.rows - len(found.gone))
    for key, seconds in usual.items():
        median, case = statistics.median(seconds), now[key]
        if case.seconds > SLOWER_TIMES * median and case.seconds - median > SLOWER_SECONDS:
            found.slower.append((key, round(median, 3), round(case.seconds, 3)))
    found.slower.sort(key=lambda entry: entry[1] - entry[2])


class _Kept(NamedTuple):
    """What a run kept: how many cases, and those that were asked for."""

    rows: int
    cases: dict[Key, Case]


def _kept(run: Run, wanted: Callable[[Key, Case], bool]) -> _Kept | None:
    """None where it kept nothing that can be read to its end. Only what is wanted is ever in memory."""
    file = next((each["key"] for each in run.result.get("artifacts", []) if each["name"] == FILE), None)
    if file is None:
        return None
    rows, cases = 0, {}
    try:
        with default_storage.open(file) as source, io.TextIOWrapper(source, encoding="utf-8", newline="") as text:
            for rows, (key, case) in enumerate(_cases(csv.reader(text)), 1):  # noqa: B007 - the last one counts
                if wanted(key, case):
                    cases[key] = case
    except (OSError, ValueError, csv.Error):
        return None
    return _Kept(rows, cases)


def _cases(lines: Iterator[list[str]]) -> Iterator[tuple[Key, Case]]:
    """ValueError where this is no list of cases."""
    if tuple(next(lines, ())) != COLUMNS:
        raise ValueError("no list of cases")
    for number, (suite, test, state, seconds, times) in enumerate(lines):
        if number >= MAX_CASES:
            raise ValueError("too many cases")
        yield Key(suite, test), Case(sys.intern(state), float(seconds), int(times))
