"""The knee on synthetic systems: 20 that have one at a known load, 20 that have none."""

import random
from collections.abc import Sequence

import pytest

from checks.tools.loading.knee import find

LINEAR = [5.0 * number for number in range(1, 13)]


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


def with_knee() -> list[tuple[str, list[tuple[float, float]], float]]:
    cases = []
    for seed in range(20):
        servers = (2, 4, 8, 16, 32)[seed % 5]
        service = (0.02, 0.05, 0.1, 0.2)[seed % 4]
        knee = (20.0, 25.0, 30.0, 35.0)[(seed // 5) % 4]
        think = service * knee / servers - service
        think, servers = (think, servers) if think > 0 else (service, int(knee // 2))
        knee = servers * (service + think) / service
        curve = closed_system(LINEAR, servers=servers, service=service, think=think)
        cases.append((f"{servers} servers, knee at {knee:g}", list(zip(LINEAR, noisy(curve, 0.02, seed), strict=True)),
                      knee))  # fmt: skip
    return cases


def without_knee() -> list[tuple[str, list[tuple[float, float]]]]:
    cases = []
    for seed in range(20):
        if seed % 2:  # far from its limit
            curve = closed_system(LINEAR, servers=64, service=0.05, think=0.05 + 0.01 * seed)
        else:  # grows ever more slowly, but each user still brings more than half
            curve = [one * 3 / (1 + 0.004 * one * (seed % 5) / 5) for one in LINEAR]
        cases.append((f"system {seed}", list(zip(LINEAR, noisy(curve, 0.02, 100 + seed), strict=True))))
    return cases


@pytest.mark.parametrize(("points", "knee"), [case[1:] for case in with_knee()], ids=[case[0] for case in with_knee()])
def test_a_knee_is_found_within_one_step(points: list[tuple[float, float]], knee: float) -> None:
    found = find(points)
    assert found.state == "reached", found
    nearest = min(range(len(LINEAR)), key=lambda place: abs(LINEAR[place] - knee))
    assert abs(found.step - nearest) <= 1, (found, knee)


@pytest.mark.parametrize("points", [case[1] for case in without_knee()], ids=[case[0] for case in without_knee()])
def test_no_knee_is_invented(points: list[tuple[float, float]]) -> None:
    assert find(points).state != "reached"


def test_few_steps_and_a_single_low_one_are_uncertain() -> None:
    assert find([(5, 50), (10, 100)]).state == "uncertain"
    found = find([(5, 50), (10, 100), (15, 150), (20, 155)])
    assert (found.state, found.reason) == ("uncertain", "only the last step adds less than half; add steps beyond it")
