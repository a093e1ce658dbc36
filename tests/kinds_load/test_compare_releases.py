"""The comparison with the last release: exact figures by hand, and its rates of error on simulated runs."""

import math
import random
from itertools import combinations

import pytest

from checks.errors import CheckError
from checks.kinds.load import _weigh_comparison
from checks.tools.loading.comparing import compare, fewest_runs, holm, mann_whitney, ratio_interval, tail
from checks.tools.loading.judging import Verdict
from checks.tools.loading.rivals import Comparison, Plan, _compared


def test_the_distribution_of_u_is_exact() -> None:
    """Against the count of all orders, one by one."""
    for first, second in ((4, 4), (3, 5), (1, 6)):
        all_orders = list(combinations(range(first + second), first))
        for u in range(first * second + 1):
            counted = sum(sum(ranks) - first * (first - 1) // 2 >= u for ranks in all_orders)
            assert tail(first, second, u) == pytest.approx(counted / len(all_orders))


def test_known_probabilities() -> None:
    assert mann_whitney([5, 6, 7, 8], [1, 2, 3, 4]) == pytest.approx(1 / 70)
    assert mann_whitney([1, 2, 3, 4], [5, 6, 7, 8]) == 1.0
    assert mann_whitney([3.0] * 5, [3.0] * 5) > 0.5, "all equal says nothing"


def test_holm_multiplies_the_least_most_and_never_falls() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_more_endpoints_need_more_runs() -> None:
    assert [fewest_runs(number) for number in (1, 3, 4, 12, 13, 46)] == [4, 4, 5, 5, 6, 6]


def test_too_few_runs_are_inconclusive_and_unbounded() -> None:
    assert [one.word for one in compare({"/": [9, 9, 9]}, {"/": [1, 1, 1]})] == ["inconclusive"]
    assert ratio_interval([2.0], [1.0]) == (0.0, math.inf)


def test_only_what_both_sides_asked_is_compared() -> None:
    found = compare({"/": [1, 1, 1, 1], "/new": [5, 5, 5, 5]}, {"/": [1, 1, 1, 1], "/gone": [2, 2, 2, 2]})
    assert [(one.endpoint, one.word) for one in found] == [("/", "not worse")]


def test_what_took_no_measurable_time_is_compared_as_the_least_that_is_measured() -> None:
    quick, slow = {"/": [0.0] * 4}, {"/": [1.0, 1.1, 1.2, 1.3]}
    assert [one.word for one in compare(slow, quick)] == ["worse"]
    assert [(one.word, one.ratio) for one in compare(quick, quick)] == [("not worse", 1.0)]


def test_what_the_last_release_was_asked_and_this_one_is_not_is_told() -> None:
    now, before = {"/": [1.0] * 4}, {"/": [1.0] * 4, "/gone": [2.0] * 4}
    comparison = Comparison(now, before, compare(now, before), "run #1")
    assert comparison.as_json()["gone"] == ["/gone"]
    verdict = Verdict(True, "All limits held", [])
    _weigh_comparison(verdict, comparison)
    assert (verdict.passed, verdict.notes) == (True, ["Asked before and not now, so nothing is said of it: /gone."])


def test_a_plan_may_say_how_much_slower_is_not_slower() -> None:
    before, now = {"/": [10.0, 10.1, 10.2, 10.3]}, {"/": [11.0, 11.1, 11.2, 11.3]}
    assert [one.word for one in compare(now, before)] == ["worse"]
    assert [one.word for one in compare(now, before, 1.08)] == ["worse"]
    assert [one.word for one in compare(now, before, 1.11)] == ["inconclusive"], "it may be by more than that"
    assert [one.word for one in compare(now, before, 1.2)] == ["not worse"]


def short_runs(*addresses: str) -> Plan:
    return Plan(load=5, runs=4, each=10, settle=2, errors=[], ratio=1.05, addresses=addresses)


def test_a_plan_may_say_what_is_compared_and_the_rest_is_kept_for_the_next() -> None:
    before = {"/": [1.0] * 4, "/rare": [1.0], "/other": [1.0] * 4}
    now = {"/": [1.0] * 4, "/rare": [9.0], "/other": [9.0] * 4}
    comparison = _compared(short_runs("/"), now, before, "run #1", interleaved=False)
    assert [(one.endpoint, one.word) for one in comparison.found] == [("/", "not worse")]
    assert comparison.now == now
    whole = _compared(short_runs(), now, before, "run #1", interleaved=False)
    assert [(one.endpoint, one.word) for one in whole.found] == [
        ("/other", "worse"), ("/rare", "inconclusive"), ("/", "not worse"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("now", "before", "why"),
    [(["/"], ["/", "/talk"], "was not asked here"), (["/", "/talk"], ["/"], "was not asked of run #1")],
)
def test_what_the_plan_compares_and_nobody_asked_is_no_pass(now: list[str], before: list[str], why: str) -> None:
    sides = [{name: [1.0] * 4 for name in names} for names in (now, before)]
    with pytest.raises(CheckError, match=f"/talk is to be compared and {why}"):
        _compared(short_runs("/", "/talk"), *sides, "run #1", interleaved=False)


def test_what_became_slower_is_named_first() -> None:
    before = {"/a": [10.0, 10.1, 10.2, 10.3], "/b": [10.0, 10.1, 10.2, 10.3], "/c": [10.0, 10.1, 10.2, 10.3]}
    now = before | {"/b": [20.0, 20.1, 20.2, 20.3], "/c": [30.0, 30.1, 30.2, 30.3]}
    assert [one.endpoint for one in compare(now, before)] == ["/c", "/b", "/a"]


#: Medians of two servers that answer alike after 1.2 s, which took turns on two cores under a load of 13 (see
#: ``test_compare_with_last``, which measured them); and the same servers with one answer slower by a third.
BUSY_NOW = {"/same": [1211.391, 1354.751, 1230.847, 1220.607], "/changed": [1211.391, 1257.471, 1229.823, 1303.551]}
BUSY_BEFORE = {"/same": [1227.775, 1209.343, 1366.015, 1225.727], "/changed": [1351.679, 1333.247, 1213.439, 1233.919]}


def verdict_on(now: dict[str, list[float]], before: dict[str, list[float]]) -> tuple[Verdict, dict[str, str]]:
    """What a load that held all limits comes to with these short runs."""
    verdict = Verdict(True, "All limits held", [])
    comparison = _compared(short_runs(), now, before, "version 0.9 in last", interleaved=True)
    _weigh_comparison(verdict, comparison)
    return verdict, {one.endpoint: one.word for one in comparison.found}


def test_equal_on_a_busy_machine_cannot_be_told_and_is_neither_worse_nor_a_pass() -> None:
    for now, before in ((BUSY_NOW, BUSY_BEFORE), (BUSY_BEFORE, BUSY_NOW)):
        verdict, words = verdict_on(now, before)
        assert "worse" not in words.values()
        assert "inconclusive" in words.values()
        assert verdict.passed is None
        assert "became slower cannot be told" in verdict.reason


def test_slower_by_a_third_is_told_on_the_same_busy_machine() -> None:
    slowed = {**BUSY_NOW, "/changed": [one + 400 for one in BUSY_NOW["/changed"]]}
    verdict, words = verdict_on(slowed, BUSY_BEFORE)
    assert words == {"/same": "inconclusive", "/changed": "worse"}
    assert (verdict.passed, verdict.reason) == (False, "Slower than the last release: /changed +28%")


def test_equal_on_a_steady_machine_is_not_worse_and_a_pass() -> None:
    steady = {name: [1210.0, 1213.5, 1211.9, 1216.0] for name in ("/same", "/changed")}
    verdict, words = verdict_on(steady, {name: [each + 2 for each in medians] for name, medians in steady.items()})
    assert words == {"/same": "not worse", "/changed": "not worse"}
    assert verdict.passed


def simulated(slower: float, seed: int, *, runs: int = 6, endpoints: int = 3) -> list[str]:
    """Words for runs whose medians differ by 2 % from run to run, as on one quiet machine."""
    generator = random.Random(seed)
    bases = [generator.uniform(5, 80) for _ in range(endpoints)]

    def side(factor: float) -> dict[str, list[float]]:
        return {
            f"/{place}": [base * factor * math.exp(generator.gauss(0, 0.02)) for _ in range(runs)]
            for place, base in enumerate(bases)
        }

    return [one.word for one in compare(side(slower), side(1.0))]


@pytest.mark.parametrize(("runs", "endpoints"), [(4, 1), (5, 3), (6, 3)])
def test_its_rates_of_error(runs: int, endpoints: int) -> None:
    """Of 300 releases as fast as the last at most 3 % are called worse; of 300 that are 10 % slower, 99 % of endpoints
    are found, with the fewest runs that can tell as well."""
    same = [simulated(1.0, seed, runs=runs, endpoints=endpoints) for seed in range(300)]
    assert sum("worse" in words for words in same) <= 9
    slower = [simulated(1.10, 1000 + seed, runs=runs, endpoints=endpoints) for seed in range(300)]
    words = [word for each in slower for word in each]
    assert words.count("worse") >= 0.99 * len(words)
    assert "not worse" not in words
