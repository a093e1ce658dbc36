"""The charts of a load: when each step began, and whether the newest second is still now."""

import time
from typing import Any

import pytest

from checks.tools.loading.drawing import pictures


def row(at: float, users: float = 4, intended: float = 0) -> list[float]:
    return [at, users, 10, 0, 1.0, 2.0, 3.0, intended, 0.1]


def labels(found: dict[str, Any]) -> list[str]:
    return [mark.label for mark in found["latency"].marks]


@pytest.mark.parametrize(("first", "second", "label"), [((4, 0), (8, 0), "8 users"), ((200, 10), (200, 20), "20 /s")])
def test_steps_under_way_are_marked_by_what_they_ask_for(
    first: tuple[float, float], second: tuple[float, float], label: str
) -> None:
    live = [{"seconds": [row(0, *first), row(1, *first)]}, {"seconds": [row(2, *second), row(3, *second)]}, {}]
    assert labels(pictures({}, live)) == [label]


@pytest.mark.parametrize(("unit", "label"), [("users", "8 users"), ("requests/s", "8 /s")])
def test_steps_stay_marked_when_the_load_is_over(unit: str, label: str) -> None:
    steps = [{"load": load, "rate": 1, "p50": 1, "p95": 1, "p99": 1} for load in (4, 8, 16)]
    rows = [row(at) for at in range(16)]
    found = pictures({"seconds": rows, "steps": steps, "hold": 8.0, "unit": unit}, [])
    assert labels(found) == [label], "the third had not begun"


def test_a_second_of_long_ago_is_not_called_now() -> None:
    now = time.time()
    assert not pictures({}, [{"seconds": [row(now - 2), row(now - 1)]}])["last"]["over"]
    assert pictures({}, [{"seconds": [row(now - 31), row(now - 30)]}])["last"]["over"]
