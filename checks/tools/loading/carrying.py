"""Carries out the steps of a load inside a run: follows each second, shows it, ends it early where that was agreed."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from checks.kinds.base import Artifact, RunContext, StepHandle
from checks.tools.loading.driving import Driver, Job, driving
from checks.tools.loading.judging import broken_limits
from checks.tools.loading.limits import Limit
from checks.tools.loading.record import Figures, HistogramLog, Measured, Second

#: The page draws at most so many points; more seconds are drawn together, with the worst percentile of them.
POINTS: Final = 600
Row = list[float]


def row_of(second: Second) -> Row:
    """What the page draws of a second: moment, users, answered, failed, p50, p95, p99 (ms), intended, cpu."""
    whole = second.total
    latencies = [round(whole.percentile(of), 2) for of in (50, 95, 99)]
    return [second.at, second.users, whole.count, whole.failed, *latencies, second.intended, round(second.cpu, 3)]


def thinned(rows: Sequence[Row], most: int = POINTS) -> list[Row]:
    """At most ``most`` rows: neighbours become one, with their mean traffic, all failures and the worst latency."""
    each = -(-len(rows) // most) if rows else 1
    if each <= 1:
        return [list(row) for row in rows]
    return [_together(rows[start : start + each]) for start in range(0, len(rows), each)]


def _together(rows: Sequence[Row]) -> Row:
    def mean(place: int) -> float:
        return round(sum(row[place] for row in rows) / len(rows), 2)

    worst = [max(row[place] for row in rows) for place in (4, 5, 6)]
    return [rows[0][0], mean(1), mean(2), sum(row[3] for row in rows), *worst, mean(7), mean(8)]


@dataclass
class Carried:
    """What came of a load. ``began``: when its schedule began, seconds since 1970."""

    steps: list[Measured] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    failures: Counter[str] = field(default_factory=Counter)
    elsewhere: Counter[str] = field(default_factory=Counter)
    began: float = 0.0
    record: Artifact | None = None


class Carrying:
    """One load. ``stop``: limits that end it when they are broken for ``patience`` seconds in a row."""

    def __init__(
        self,
        context: RunContext,
        job: Job,
        *,
        settle: float,
        stop: Sequence[Limit] = (),
        patience: float = 10,
        each_second: Callable[[], None] = lambda: None,
    ) -> None:
        self.context, self.job, self.settle = context, job, settle
        self.stop, self.patience, self.each_second = list(stop), patience, each_second
        self.carried = Carried()
        self._broken_for = 0
        self._broken = ""
        self._unit = "requests/s" if job.mode == "open" else "users"

    def carry_out(self, titles: Sequence[str]) -> Carried:
        """Do all steps; ``titles`` are the keys of the run's steps, one for each step of the load."""
        path = self.context.scratch / "latency.hlog"
        with driving(self.context, self.job) as driver:
            self._follow(driver, titles, path)
        self.carried.began = driver.began
        if path.exists():
            self.carried.record = self.context.store("latency.hlog", path)
            path.unlink()
        return self.carried

    def _follow(self, driver: Driver, titles: Sequence[str], path: Any) -> None:
        seconds = driver.seconds()
        second = self._next(seconds)
        log = HistogramLog(path, driver.began)
        try:
            for number, title in enumerate(titles):
                with self.context.step(title) as handle:
                    if self._broken_for >= self.patience and self.stop:
                        handle.skip("The load was ended before.")
                        continue
                    measured = Measured(self.job.steps[number], self.job.mode)
                    self.carried.steps.append(measured)
                    rows: list[Row] = []
                    while second is not None and driver.step_of(second)[0] <= number and not measured.aborted:
                        log.write(second)
                        self._see(second, driver, measured, rows, handle)
                        if not measured.aborted:
                            second = self._next(seconds)
                    if not measured.aborted:
                        measured.missing = driver.whole_seconds(number, self.settle) - measured.seconds
                    self.carried.rows += rows
                    self._tell(measured, handle)
            while second is not None and not self.carried.steps[-1].aborted:
                second = self._next(seconds)
        finally:
            log.close()

    @staticmethod
    def _next(seconds: Iterator[Second]) -> Second | None:
        return next(seconds, None)

    def _see(self, second: Second, driver: Driver, measured: Measured, rows: list[Row], handle: StepHandle) -> None:
        _, over = driver.step_of(second)
        if over >= self.settle and over + 1 <= self.job.hold:
            measured.take(second)
            if self.job.workers:
                measured.silent += max(0, self.job.workers.expected - len(second.workers))
            else:
                measured.unheard += max(0, self.job.cores - len(second.workers))
        self.carried.failures.update(second.failures)
        self.carried.elsewhere.update(second.elsewhere)
        measured.elsewhere.update(second.elsewhere)
        measured.late, driver.late = measured.late + driver.late, 0
        row = row_of(second)
        rows.append(row)
        with handle.at_once():
            handle.progress(min(over + 1, self.job.hold), self.job.hold, "seconds")
            handle.doing(f"{row[1]:.0f} users, {row[2]:.0f} answers/s, p95 {row[5]:.0f} ms, {row[3]:.0f} failed")
            handle.figure("seconds", thinned(rows, 300))
        self._watch(second, measured)
        self.each_second()

    def _watch(self, second: Second, measured: Measured) -> None:
        """Count the seconds in a row in which a limit of ``stop`` is broken, by answers or by what is waited for."""
        whole = second.total
        broken = []
        for limit in self.stop:
            figures = second.endpoints.get(limit.endpoint) if limit.endpoint else whole
            broken += list(broken_limits(figures, [limit])) if figures else []
        if not broken and (waited := self._silent_for(whole)):
            broken = [f"nothing was answered, and the longest had waited for {waited:.0f} s"]
        if not broken and whole.count:
            self._broken_for = 0
        elif broken:
            self._broken_for += 1
            self._broken = broken[0]
        if self.stop and self._broken_for >= self.patience:
            measured.aborted = f"ended early: {self._broken} for {self._broken_for} s"
            self.context.warn(measured.aborted)

    def _silent_for(self, whole: Figures) -> float:
        """How long the longest has waited, s, where nothing is answered and somebody waits; else 0.

        A server that has gone silent has no figure that a limit could be broken by, and must be spared all the same.
        """
        waited = max(whole.waiting, default=0) / 1_000_000
        return waited if not whole.count and waited >= 1 else 0.0

    def _tell(self, measured: Measured, handle: StepHandle) -> None:
        whole = measured.total
        self.context.note(
            f"{measured.load:g} {self._unit}: {whole.count:,} answers in {measured.seconds} s, {whole.rate:,.1f}/s,"
            f" p50 {whole.percentile(50):.0f} ms, p95 {whole.percentile(95):.0f} ms, p99 {whole.percentile(99):.0f} ms,"
            f" {whole.failed:,} failed, generator {measured.cpu:.0%} of a core"
        )
        if measured.aborted:
            handle.fail(measured.aborted)
