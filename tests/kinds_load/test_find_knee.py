"""The knee on synthetic systems: 20 that have one at a known load, 20 that have none."""

import random
from collections.abc import Callable, Sequence

import pytest

from checks.tools.loading.knee import find

#: Steps as plans write them: even, few and even, doubling, and even ones after a careful beginning.
GRIDS = {
    "12 even": [5.0 * number for number in range(1, 13)],
    "8 even": [10.0 * number for number in range(1, 9)],
    "doubling": [4.0, 8.0, 16.0, 32.0, 64.0, 128.0],
    "mixed": [1.0, 5.0, 10.0, 20.0, 30.0, 40.0, 60.0, 80.0],
}
#: Where the knee is, as a share of the way from the second step to the last but two. Close to that one the curve is not
#: yet flat where it ends, and the two rules may disagree by two steps: that is uncertain, and rightly so.
PLACES = (0.1, 0.3, 0.5, 0.65, 0.8)

Points = list[tuple[float, float]]


def closed_system(users: Sequence[float], *, servers: int, service: float, think: float) -> list[float]:
    """Throughput of N users, each thinking ``think`` s between requests of ``service`` s, at ``servers`` servers.

    Exact mean value analysis with Seidmann's form of a station with several servers (a delay of
    ``service * (servers - 1) / servers`` before one server that is so many times as fast).
    Its knee, where the two asymptotes cross: ``servers * (service + think) / service`` users.
    """
    fast, delay = service / servers, service * (servers - 1) / servers
    queue, found = 0.0, {}
    for number in range(1, int(max(users)) + 1):
        response = fast * (1 + queue)
        throughput = number / (response + delay + think)
        queue = throughput * response
        found[number] = throughput
    return [found[int(one)] for one in users]


def noisy(values: Sequence[float], share: float, seed: int) -> list[float]:
    generator = random.Random(seed)
    return [value * generator.gauss(1, share) for value in values]


def with_knee(noise: float = 0.03, seed: int = 0) -> list[tuple[str, Points, float]]:
    """Four grids of steps, five systems on each; every second one gives back less and less beyond its knee."""
    cases = []
    for number, (grid, place) in enumerate((grid, place) for grid in GRIDS for place in PLACES):
        users, servers = GRIDS[grid], (4, 2, 8, 4, 2)[number % 5]
        wanted = users[1] + place * (users[-3] - users[1])
        service, servers = (0.02, 0.05, 0.1)[number % 3], min(servers, int(wanted))
        curve = closed_system(users, servers=servers, service=service, think=service * wanted / servers - service)
        if number % 2:
            past = [max(0.0, one - 1.2 * wanted) / users[-1] for one in users]
            curve = [one * (1 - 0.7 * beyond) for one, beyond in zip(curve, past, strict=True)]
        points = list(zip(users, noisy(curve, noise, 100 * seed + number), strict=True))
        cases.append((f"{grid}: {servers} servers, knee at {wanted:.0f}", points, wanted))
    return cases


def without_knee(noise: float = 0.03, seed: int = 0) -> list[tuple[str, Points]]:
    """Five that look as if: each user brings a little less, a cold beginning, one bad step; and two that do not."""
    shapes: dict[str, Callable[[list[float]], list[float]]] = {
        "far from its limit": lambda users: closed_system(users, servers=200, service=0.05, think=0.5),
        "ever less, never half": lambda users: [one / (1 + 0.25 * one / users[-1]) for one in users],
        "a power of 0.9": lambda users: [one**0.9 for one in users],
        "cold in the beginning": lambda users: [0.7 * users[0], 0.9 * users[1], *users[2:]],
        "one bad step": lambda users: [one * (0.65 if one == users[len(users) // 2] else 1) for one in users],
    }
    return [
        (f"{grid}: {name}", list(zip(users, noisy(shape(users), noise, 100 * seed + number), strict=True)))
        for number, (grid, users, name, shape) in enumerate(
            (grid, users, name, shape) for grid, users in GRIDS.items() for name, shape in shapes.items()
        )
    ]


def steps_off(points: Points, step: int, knee: float) -> int:
    return abs(step - min(range(len(points)), key=lambda place: abs(points[place][0] - knee)))


@pytest.mark.parametrize(("points", "knee"), [case[1:] for case in with_knee()], ids=[case[0] for case in with_knee()])
def test_a_knee_is_found_within_one_step(points: Points, knee: float) -> None:
    found = find(points)
    assert found.state == "reached", found
    assert steps_off(points, found.step, knee) <= 1, (found, knee)


@pytest.mark.parametrize("points", [case[1] for case in without_knee()], ids=[case[0] for case in without_knee()])
def test_no_knee_is_invented(points: Points) -> None:
    assert find(points).state != "reached"


def test_more_noise_makes_it_uncertain_before_it_makes_it_wrong() -> None:
    """Each figure off by 5 %, of 500 systems with a knee and 500 without."""
    knees = [case for seed in range(25) for case in with_knee(0.05, seed)]
    found = [(find(points), points, knee) for _, points, knee in knees]
    wrong = [one for one, points, knee in found if one.state == "reached" and steps_off(points, one.step, knee) > 1]
    invented = [
        name for seed in range(25) for name, points in without_knee(0.05, seed) if find(points).state == "reached"
    ]
    missed = [one for one, _, _ in found if one.state != "reached"]
    assert (len(wrong) <= 10, len(invented) <= 2, len(missed) <= 50) == (True, True, True), (wrong, invented, missed)


def test_few_steps_and_a_single_low_one_are_uncertain() -> None:
    assert find([(5, 50), (10, 100)]).state == "uncertain"
    found = find([(5, 50), (10, 100), (15, 150), (20, 155)])
    assert (found.state, found.reason) == ("uncertain", "only the last step adds less than half; add steps beyond it")
