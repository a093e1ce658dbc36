"""Limits of a plan as short expressions: ``p95 < 400ms``, ``errors < 1%``, ``/courses/: requests_per_second > 50``."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

ALL: Final = ""
_FORM: Final = re.compile(
    r"(?:(?P<endpoint>\S.*?)\s*:\s+)?(?P<metric>[a-z_]+(?:\d+(?:\.\d+)?)?)\s*(?P<sign><=|>=|<|>)\s*"
    r"(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>[a-z%/]*)"
)
_PERCENTILE: Final = re.compile(r"p(\d{1,2}(?:\.\d{1,3})?)")
_LATENCIES: Final = ("mean", "median", "max")
_KNOWN: Final = "p50, p95, p99.9 and the like, median, mean, max, errors, requests_per_second"
#: So many requests must lie beyond a percentile before it is more than chance.
BEYOND: Final = 5
#: Holds wherever a plan says nothing of errors over all: quick answers that failed are no capacity.
ERRORS: Final = "errors < 1%"


@dataclass(frozen=True)
class Limit:
    """``bound``: milliseconds for latencies, a fraction for errors, requests a second for throughput.

    ``added``: by the program, where the plan says nothing of it.
    """

    text: str
    metric: str
    sign: str
    bound: float
    endpoint: str = ALL
    added: bool = False

    @property
    def percentile(self) -> float | None:
        """95.0 for p95 and 50.0 for the median; None where the metric is none."""
        if self.metric == "median":
            return 50.0
        found = _PERCENTILE.fullmatch(self.metric)
        return float(found[1]) if found else None

    @property
    def is_latency(self) -> bool:
        return self.metric not in ("errors", "requests_per_second")

    @property
    def is_reached(self) -> bool:
        """A least throughput: a step of little load cannot have it, so it is asked of the whole load."""
        return self.metric == "requests_per_second"

    def allows(self, value: float) -> bool:
        return {
            "<": value < self.bound, "<=": value <= self.bound, ">": value > self.bound, ">=": value >= self.bound,
        }[self.sign]  # fmt: skip

    @property
    def needs(self) -> int:
        """So many requests are needed before this limit can be said to hold."""
        if self.added:
            return 1  # the plan's own samples decide
        if self.percentile is not None:
            return round(BEYOND / (1 - self.percentile / 100))
        if self.metric == "errors" and self.bound > 0:
            return round(1 / self.bound)
        return 1

    def told(self, value: float) -> str:
        """'p95 of /courses/ is 812 ms, limit < 400 ms'"""
        of = f" of {self.endpoint}" if self.endpoint else ""
        added = ", added because the plan names none" if self.added else ""
        return f"{self.metric}{of} is {self._figure(value)}, limit {self.sign} {self._figure(self.bound)}{added}"

    def _figure(self, value: float) -> str:
        if self.metric == "errors":
            return f"{value * 100:.3g} %"
        if self.metric == "requests_per_second":
            return f"{value:,.1f}/s"
        return f"{value:,.0f} ms" if value >= 10 else f"{value:.2g} ms"


def parse(text: str) -> Limit:
    """One expression. ValueError says what is wrong with it and what is right."""
    found = _FORM.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no limit; write p95 < 400ms, errors < 1% or /courses/: p95 < 400ms")
    metric, sign, unit = found["metric"], found["sign"], found["unit"]
    number, endpoint = float(found["number"]), found["endpoint"] or ALL
    if metric == "requests_per_second":
        _upwards(metric, sign, True)
        if unit not in ("", "/s"):
            raise ValueError(f"requests_per_second is a plain number, not {number:g}{unit}")
        return Limit(text, metric, sign, number, endpoint)
    _upwards(metric, sign, False)
    if metric == "errors":
        if unit != "%":
            raise ValueError("errors are a share: write errors < 1%")
        if number > 100:
            raise ValueError("errors cannot be over 100%")
        return Limit(text, metric, sign, number / 100, endpoint)
    if metric not in _LATENCIES and not _percentile(metric):
        raise ValueError(f"there is no figure {metric!r}; there are: {_KNOWN}")
    if unit not in ("ms", "s"):
        raise ValueError(f"a time needs its unit: {metric} {sign} {number:g}ms or {number:g}s")
    return Limit(text, metric, sign, number * (1000 if unit == "s" else 1), endpoint)


def parse_all(texts: Iterable[str]) -> list[Limit]:
    return [parse(text) for text in texts]


def judged_by(texts: Iterable[str]) -> list[Limit]:
    """The plan's limits, and one on errors over all where the plan names none."""
    found = parse_all(texts)
    if any(limit.metric == "errors" and limit.endpoint == ALL for limit in found):
        return found
    return [*found, replace(parse(ERRORS), added=True)]


def _percentile(metric: str) -> bool:
    found = _PERCENTILE.fullmatch(metric)
    return bool(found) and 0 < float(found[1]) < 100 if found else False


def _upwards(metric: str, sign: str, more_is_better: bool) -> None:
    if (sign in (">", ">=")) != more_is_better:
        right = ">" if more_is_better else "<"
        raise ValueError(f"{metric} {sign} … would be kept by a failing application; write {metric} {right} …")
