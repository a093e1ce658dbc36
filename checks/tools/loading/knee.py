"""Where throughput stops following the load: the knee of a series of steps, or that there is none.

Two rules must agree. The first looks at the marginal throughput, what one more user adds: the knee is the last step
before two in a row that add less than half of what the first users added. The second is Kneedle (Satopaa, Albrecht,
Irwin, Raghavan: "Finding a 'Kneedle' in a Haystack", 2011) for a concave, rising curve: both axes are scaled to 0..1
and the knee is where the curve is farthest above the diagonal. One without the other is uncertain, never a knee.

A single step is noisy, and a margin is the small difference of two of them; so each step is first drawn half-way to the
line between its neighbours, which leaves straight lines as they are. (Of 1,200 noisy synthetic systems with a knee and
1,200 without, that brought wrong knees from 5 to 0, invented ones from 2 to 0, and missed ones from 100 to 10.)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

#: A step adds too little when a user adds less than this share of what the first users added.
HALF: Final = 0.5
#: Less bulge above the diagonal than this is what noise makes of a straight line.
BULGE_AT_LEAST: Final = 0.1
FEWEST_STEPS: Final = 4

Point = tuple[float, float]


@dataclass(frozen=True)
class Knee:
    """``state`` reached: ``load`` and ``throughput`` are those of the step at the knee, ``step`` its place from 0."""

    state: Literal["reached", "not reached", "uncertain"]
    reason: str
    load: float = 0.0
    throughput: float = 0.0
    step: int = -1


def find(points: Sequence[Point]) -> Knee:
    """``points``: (users, answered requests a second) of each step, from the least load to the most."""
    if len(points) < FEWEST_STEPS:
        few = "1 step is" if len(points) == 1 else f"{len(points)} steps are"
        return Knee("uncertain", f"{few} too few to tell; at least {FEWEST_STEPS} are needed")
    calm = _smoothed(points)
    by_margin = _by_margin(calm)
    by_shape, bulge = kneedle(calm)
    if by_margin is None:
        if _margins(calm)[-1] < HALF * _first(calm):
            return Knee("uncertain", "only the last step adds less than half; add steps beyond it")
        return Knee("not reached", "throughput follows the load to the last step")
    if bulge < BULGE_AT_LEAST:
        return Knee("uncertain", "throughput wavers, but its curve has no bend")
    if abs(by_margin - by_shape) > 1:
        return Knee(
            "uncertain",
            f"it adds less than half after {points[by_margin][0]:g}, but the curve bends at {points[by_shape][0]:g}",
        )
    load, throughput = points[by_margin]
    return Knee("reached", "two steps in a row add less than half of the first, and Kneedle agrees", load, throughput,
                by_margin)  # fmt: skip


def _smoothed(points: Sequence[Point]) -> list[Point]:
    calm = []
    for (x0, y0), (x, y), (x1, y1) in zip([(0.0, 0.0), *points[:-2]], points[:-1], points[1:], strict=True):
        between = y0 + (y1 - y0) * (x - x0) / (x1 - x0)
        calm.append((x, (y + between) / 2))
    return [*calm, points[-1]]


def _first(points: Sequence[Point]) -> float:
    return points[0][1] / points[0][0]


def _margins(points: Sequence[Point]) -> list[float]:
    """What one more user adds at each step; for the first, what each of the first users brings."""
    before: list[Point] = [(0.0, 0.0), *points[:-1]]
    return [(y - y0) / (x - x0) for (x, y), (x0, y0) in zip(points, before, strict=True)]


def _by_margin(points: Sequence[Point]) -> int | None:
    margins, enough = _margins(points), HALF * _first(points)
    for place in range(1, len(points) - 1):
        if margins[place] < enough and margins[place + 1] < enough:
            return place - 1
    return None


def kneedle(points: Sequence[Point]) -> tuple[int, float]:
    """(place of the step farthest above the diagonal, how far, in 0..1), the origin taken as the curve's beginning."""
    most_x, most_y = points[-1][0], max(y for _, y in points) or 1.0
    above = [y / most_y - x / most_x for x, y in points]
    place = max(range(len(above)), key=above.__getitem__)
    return place, above[place]
