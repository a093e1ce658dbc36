"""Whether a release is slower than the last one: short runs of both, judged as runs and never as raw requests.

Requests of one run resemble each other more than those of another run, so a test over requests finds differences that
are none. One figure of each short run, the median, is one observation. The exact distribution of Mann and Whitney's U
("On a Test of Whether one of Two Random Variables is Stochastically Larger than the Other", 1947) is counted by their
recurrence; ties count a half and are looked up at the whole U above, which is careful. The interval of the ratio is
that of Hodges and Lehmann ("Estimates of Location Based on Rank Tests", 1963) on logarithms.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from statistics import median
from typing import Any, Final, Literal

SIGNIFICANT: Final = 0.05
RATIO: Final = 1.05
FEWEST_RUNS: Final = 4
#: What a record can tell, a microsecond: nothing takes no time at all, and ratios of it would be none.
LEAST_MS: Final = 0.001

Word = Literal["worse", "not worse", "inconclusive"]
_WORST_FIRST: Final[tuple[Word, ...]] = ("worse", "inconclusive", "not worse")


@cache
def ways(first: int, second: int, u: int) -> int:
    """In how many orders of ``first`` + ``second`` observations does U come to exactly ``u``?"""
    if u < 0:
        return 0
    if first == 0 or second == 0:
        return int(u == 0)
    return ways(first - 1, second, u - second) + ways(first, second - 1, u)


def tail(first: int, second: int, u: float) -> float:
    """The probability that U is at least ``u`` when both sides are of one distribution."""
    lowest = math.ceil(u - 0.5)
    orders = math.comb(first + second, first)
    return sum(ways(first, second, value) for value in range(max(lowest, 0), first * second + 1)) / orders


def mann_whitney(now: Sequence[float], before: Sequence[float]) -> float:
    """The one-sided, exact p of ``now`` being larger than ``before``."""
    u = sum(1.0 if one > other else 0.5 if one == other else 0.0 for one, other in product(now, before))
    return tail(len(now), len(before), math.floor(u))


def ratio_interval(now: Sequence[float], before: Sequence[float]) -> tuple[float, float]:
    """The one-sided 95 % bounds of the ratio now/before: (not less than, not more than). 0 and infinity: unbounded."""
    ratios = sorted(one / other for one, other in product(now, before))
    size, cut = len(ratios), 0
    # So many of the least ratios may be cut off: the largest number with a tail of at most SIGNIFICANT.
    while cut < size and tail(len(now), len(before), size - cut) <= SIGNIFICANT:
        cut += 1
    if cut == 0:
        return 0.0, math.inf
    return ratios[cut - 1], ratios[size - cut]


@dataclass(frozen=True)
class Compared:
    """One endpoint. ``p`` is Holm's, over all endpoints; ``ratio`` that of the medians; ``most`` its upper bound."""

    endpoint: str
    word: Word
    ratio: float
    p: float
    most: float
    before_ms: float
    now_ms: float

    def as_json(self) -> dict[str, Any]:
        most = None if math.isinf(self.most) else round(self.most, 4)
        return {
            "endpoint": self.endpoint, "word": self.word, "ratio": round(self.ratio, 4), "p": round(self.p, 5),
            "most": most, "before_ms": round(self.before_ms, 3), "now_ms": round(self.now_ms, 3),
        }  # fmt: skip


def holm(probabilities: Sequence[float]) -> list[float]:
    """Adjusted for the number of tests (Holm 1979): the least times m, the next times m - 1, never falling."""
    order = sorted(range(len(probabilities)), key=probabilities.__getitem__)
    adjusted, highest = [0.0] * len(probabilities), 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, probabilities[place] * (len(probabilities) - rank)))
        adjusted[place] = highest
    return adjusted


def fewest_runs(endpoints: int) -> int:
    """With fewer runs on each side not even the clearest difference could be significant for all endpoints."""
    runs = FEWEST_RUNS
    while max(endpoints, 1) / math.comb(2 * runs, runs) > SIGNIFICANT:
        runs += 1
    return runs


def compare(
    now: Mapping[str, Sequence[float]], before: Mapping[str, Sequence[float]], ratio: float = RATIO
) -> list[Compared]:
    """Each endpoint of both sides: its medians in ms, one of each short run. Too few runs are inconclusive.

    ``ratio``: up to so many times as slow is not slower. What people must look at comes first.
    """
    now, before = _at_least(now), _at_least(before)
    names = sorted(set(now) & set(before))
    enough = fewest_runs(len(names))
    adjusted = holm([mann_whitney(now[name], before[name]) for name in names])
    found = [_judged(name, now[name], before[name], p, enough, ratio) for name, p in zip(names, adjusted, strict=True)]
    return sorted(found, key=lambda one: (_WORST_FIRST.index(one.word), -one.ratio))


def _at_least(medians: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    return {name: [max(one, LEAST_MS) for one in each] for name, each in medians.items()}


def _judged(
    name: str, now: Sequence[float], before: Sequence[float], p: float, enough: int, allowed: float
) -> Compared:
    ratio = median(now) / median(before)
    _, most = ratio_interval(now, before)
    word: Word = "inconclusive"
    if min(len(now), len(before)) >= enough:
        if p <= SIGNIFICANT and ratio > allowed:
            word = "worse"
        elif most < allowed:
            word = "not worse"
    return Compared(name, word, ratio, p, most, median(before), median(now))
