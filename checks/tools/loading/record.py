"""The record of a load: exact histograms for each second and endpoint, merged over workers, seconds and endpoints."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from hdrh.histogram import HdrHistogram

MICROSECONDS_AT_MOST: Final = 600_000_000
DIGITS: Final = 3


@dataclass
class Figures:
    """Answers of one endpoint, or of all, over some time. Latencies are in milliseconds.

    ``waiting``: requests that were under way in the end, microseconds waited so far -> how many. No percentile may look
    better because they were not answered.
    """

    seconds: float = 0.0
    failed: int = 0
    server_errors: int = 0
    histogram: Any = field(default_factory=lambda: HdrHistogram(1, MICROSECONDS_AT_MOST, DIGITS))
    waiting: Counter[int] = field(default_factory=Counter)

    @property
    def count(self) -> int:
        return int(self.histogram.get_total_count())

    @property
    def errors(self) -> float:
        """The share of requests that failed, 0 to 1; of none at all it is 0."""
        return self.failed / self.count if self.count else 0.0

    @property
    def rate(self) -> float:
        """Requests that were answered as declared, a second."""
        return (self.count - self.failed) / self.seconds if self.seconds else 0.0

    @property
    def mean(self) -> float:
        return float(self.histogram.get_mean_value()) / 1000 if self.count else 0.0

    @property
    def slowest_answer(self) -> float:
        return float(self.histogram.get_max_value()) / 1000 if self.count else 0.0

    @property
    def slowest(self) -> float:
        return max(self.slowest_answer, max(self.waiting, default=0) / 1000)

    def percentile(self, of: float) -> float:
        """Of the answers, or of these and what was waited for in vain until then: whichever is longer."""
        answered = float(self.histogram.get_value_at_percentile(of)) / 1000 if self.count else 0.0
        if not self.waiting:
            return answered
        whole = HdrHistogram(1, MICROSECONDS_AT_MOST, DIGITS)
        whole.add(self.histogram)
        for micros, count in self.waiting.items():
            whole.record_value(micros, count)
        return max(answered, float(whole.get_value_at_percentile(of)) / 1000)

    def add(self, other: "Figures") -> None:
        """Take the other's answers in; the time stays, since both are of the same time or the caller sets it."""
        self.failed += other.failed
        self.server_errors += other.server_errors
        self.histogram.add(other.histogram)
        self.waiting.update(other.waiting)

    def as_json(self) -> dict[str, Any]:
        return {
            "count": self.count, "failed": self.failed, "server_errors": self.server_errors,
            "errors": round(self.errors, 6), "rate": round(self.rate, 3), "mean": round(self.mean, 3),
            "p50": round(self.percentile(50), 3), "p95": round(self.percentile(95), 3),
            "p99": round(self.percentile(99), 3), "max": round(self.slowest, 3),
        }  # fmt: skip


@dataclass
class Second:
    """One second of all workers. ``cpu``: of the busiest generating process, 1 being a whole core."""

    at: int
    users: int = 0
    cpu: float = 0.0
    intended: int = 0
    started: int = 0
    endpoints: dict[str, Figures] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    elsewhere: Counter[str] = field(default_factory=Counter)
    workers: set[str] = field(default_factory=set)
    #: Answers of 400 and more that a locustfile counted as good; why its users broke off what they did.
    refused: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    #: Requests that had to wait, since more was asked than somebody consented to.
    held_back: int = 0
    #: Requests only just sent, and arrivals that no user took until the second ended, as ``Figures.waiting``.
    queue: Counter[int] = field(default_factory=Counter)

    def take(self, line: Mapping[str, Any]) -> None:
        """Add what one worker says of this second. ValueError where its counts do not go in pairs."""
        self.workers.add(str(line["worker"]))
        self.users += int(line["users"])
        self.cpu = max(self.cpu, float(line["cpu"]))
        self.intended += int(line["intended"])
        self.started += int(line["started"])
        self.failures.update(line["failures"])
        self.elsewhere.update(line["elsewhere"])
        self.refused += int(line["refused"])
        self.broken.update(line["broken"])
        self.held_back += int(line["held_back"])
        for name, (counts, failed, server_errors) in line["endpoints"].items():
            mine = self.endpoints.setdefault(name, Figures(1.0))
            for micros, count in zip(counts[::2], counts[1::2], strict=True):
                mine.histogram.record_value(min(int(micros), MICROSECONDS_AT_MOST), int(count))
            mine.failed += int(failed)
            mine.server_errors += int(server_errors)
        for name, counts in line["waiting"].items():
            into = self.endpoints.setdefault(name, Figures(1.0)).waiting if name else self.queue
            into.update(dict(zip(map(int, counts[::2]), map(int, counts[1::2]), strict=True)))

    @property
    def total(self) -> Figures:
        return total(self.endpoints.values(), 1.0, self.queue)


def total(endpoints: Iterable[Figures], seconds: float, queue: Counter[int]) -> Figures:
    whole = Figures(seconds, waiting=Counter(queue))
    for figures in endpoints:
        whole.add(figures)
    return whole


@dataclass
class Measured:
    """One step of load: all of its seconds after it settled.

    ``load``: users in closed mode, requests a second in open mode. ``aborted``: why it was ended early, or empty.
    ``late``: so many reports of single seconds came too late to be counted; ``silent``: so many never came.
    ``missing``: of so many seconds no generator said anything. ``unheard``: of this machine's own generators, so many
    seconds of single ones did not come. ``refused``, ``broken``, ``held_back``: see ``Second``.
    """

    load: float
    mode: str
    seconds: int = 0
    users: float = 0.0
    cpu: float = 0.0
    intended: int = 0
    started: int = 0
    endpoints: dict[str, Figures] = field(default_factory=dict)
    failures: Counter[str] = field(default_factory=Counter)
    elsewhere: Counter[str] = field(default_factory=Counter)
    aborted: str = ""
    late: int = 0
    silent: int = 0
    missing: int = 0
    unheard: int = 0
    queue: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    held_back: int = 0
    broken: Counter[str] = field(default_factory=Counter)

    def take(self, second: Second) -> None:
        self.seconds += 1
        self.users += (second.users - self.users) / self.seconds
        self.cpu += (second.cpu - self.cpu) / self.seconds
        self.intended += second.intended
        self.started += second.started
        # Those that waited a second ago were answered since, or wait still.
        self.queue = second.queue
        for figures in self.endpoints.values():
            figures.waiting = Counter()
        for name, figures in second.endpoints.items():
            self.endpoints.setdefault(name, Figures()).add(figures)
        for each in self.endpoints.values():
            each.seconds = float(self.seconds)
        self.failures.update(second.failures)
        self.refused += second.refused
        self.held_back += second.held_back
        self.broken.update(second.broken)

    @property
    def total(self) -> Figures:
        return total(self.endpoints.values(), float(self.seconds), self.queue)

    @property
    def stuck(self) -> "Stuck":
        """What was left without an answer: under way in the end, and for longer than any answer took."""
        whole = self.total
        most = whole.slowest_answer * 1000
        beyond = {micros - most: count for micros, count in whole.waiting.items() if micros > most}
        count = sum(beyond.values())
        if self.mode == "open":
            share = count / self.intended if self.intended else 0.0
        else:
            lost = sum(micros * count for micros, count in beyond.items()) / 1_000_000
            share = lost / (self.load * self.seconds) if self.seconds else 0.0
        return Stuck(count, whole.slowest, whole.slowest_answer, share)

    @property
    def achieved(self) -> float:
        """What was done of what was intended, 0 to 1: users there, or arrivals sent."""
        if self.mode == "open":
            # A generator that is gone intends nothing any more; the step still does.
            intended = max(float(self.intended), self.load * self.seconds)
            return self.started / intended if intended else 0.0
        return self.users / self.load

    def as_json(self) -> dict[str, Any]:
        return {
            "load": self.load, "seconds": self.seconds, "users": round(self.users, 2), "cpu": round(self.cpu, 4),
            "achieved": round(self.achieved, 4), "aborted": self.aborted, "unanswered": self.stuck.count,
            **self.total.as_json(),
            "endpoints": {name: figures.as_json() for name, figures in sorted(self.endpoints.items())},
            "failures": dict(self.failures.most_common(10)),
        }  # fmt: skip


@dataclass(frozen=True)
class Stuck:
    """``waited``, ``slowest_answer``: ms. ``share``: of the arrivals (open mode), of the users' time (closed mode)."""

    count: int
    waited: float
    slowest_answer: float
    share: float


class HistogramLog:
    """The record as an HdrHistogram log, one tagged line for each second and endpoint, as other tools read it."""

    def __init__(self, path: Path, began: float) -> None:
        self._began = began
        self._file = path.open("w", encoding="utf-8")
        self._file.write("#[Histogram log format version 1.3]\n")
        self._file.write(f"#[StartTime: {began:.3f} (seconds since epoch)]\n")
        self._file.write('"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"\n')

    def write(self, second: Second) -> None:
        for name, figures in sorted(second.endpoints.items()):
            if not figures.count:
                continue
            tag = name.replace(",", "%2C").replace(" ", "%20")
            start, longest = max(0.0, second.at - self._began), figures.slowest_answer
            encoded = figures.histogram.encode().decode("ascii")
            self._file.write(f"Tag={tag},{start:.3f},1.000,{longest:.3f},{encoded}\n")

    def close(self) -> None:
        self._file.close()
