"""What measured steps say, and above all what they must not be taken for."""

from collections import Counter
from typing import Any

import pytest

from checks.tools.loading.judging import Judged, Verdict, judge, judge_step
from checks.tools.loading.limits import judged_by, parse_all
from tests.kinds_load.measured import figures, measured

GOOD = [20.0] * 1000


def step(
    load: float = 10, latencies: Any = GOOD, *, limits: Any = ("p95 < 400ms", "errors < 1%"), **more: Any
) -> Judged:
    return judge_step(measured(load, latencies, **more), parse_all(limits), samples=100, unit="users")


def test_a_step_within_its_limits_is_held() -> None:
    assert step().held
    assert step().throughput == 100


def test_each_broken_limit_is_told_with_its_figure() -> None:
    found = step(latencies=[20.0] * 940 + [812.0] * 60, failed=30)
    assert found.broken == ("p95 is 812 ms, limit < 400 ms", "errors is 3 %, limit < 1 %")


def test_a_limit_on_one_endpoint_is_judged_by_that_endpoint() -> None:
    endpoints = {"/a": figures([10.0] * 500), "/b": figures([900.0] * 500)}
    assert step(endpoints=endpoints, limits=["/a: p95 < 400ms"]).held
    assert step(endpoints=endpoints, limits=["/b: p95 < 400ms"]).broken == ("p95 of /b is 900 ms, limit < 400 ms",)
    assert step(endpoints=endpoints, limits=["/c: p95 < 400ms"]).invalid == (
        "0 requests are too few for '/c: p95 < 400ms', which needs 100",
    )


@pytest.mark.parametrize("mode", [{}, {"mode": "open", "intended": 1000, "started": 1000}], ids=["closed", "open"])
@pytest.mark.parametrize("given", [["p95 < 400ms"], ["p95 < 400ms", "/: errors < 50%"]])
def test_failures_break_a_limit_that_is_added_where_the_plan_names_none(given: list[str], mode: dict[str, Any]) -> None:
    added = "errors is 45 %, limit < 1 %, added because the plan names none"
    found = judge_step(measured(100, GOOD, failed=450, **mode), judged_by(given), samples=10, unit="users")
    assert found.broken == (added,)


def test_a_limit_that_is_added_asks_for_no_more_requests_than_the_plan() -> None:
    assert judge_step(measured(10, GOOD[:20]), judged_by(["p50 < 400ms"]), samples=20, unit="users").held
    assert [limit.text for limit in judged_by(["errors < 5%"])] == ["errors < 5%"]


def test_where_every_request_failed_nothing_was_held_whatever_the_limits_allow() -> None:
    assert step(failed=1000, limits=["errors <= 100%"]).broken == ("all 1,000 requests failed",)


def test_what_was_answered_as_declared_is_the_capacity_and_not_what_was_sent() -> None:
    sent = {"mode": "open", "intended": 1000, "started": 950}
    opened = step(100, [20.0] * 950, failed=5, limits=["errors < 5%"], **sent)
    assert (opened.held, opened.throughput) == (True, 94.5)
    found = judge([opened], needed=95, unit="requests/s")
    assert (found.passed, found.capacity) == (None, 94.5)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"cpu": 0.81}, "the generator needed 81% of a core"),
        ({"users": 9.4}, "only 94% of the intended 10 users"),
        ({"mode": "open", "intended": 1000, "started": 940}, "only 94% of the intended 10 users"),
        ({"mode": "open"}, "only 0% of the intended"),
        # One of two generators is gone, and intends nothing any more.
        ({"load": 100, "mode": "open", "intended": 500, "started": 500}, "only 50% of the intended 100"),
        ({"unheard": 1}, "1 seconds of single processes of the generator are missing"),
        ({"latencies": [20.0] * 99}, "99 requests are too few; at least 100"),
        (
            {"latencies": [20.0] * 120, "limits": ["p99 < 1s"]},
            "120 requests are too few for 'p99 < 1s', which needs 500",
        ),
        ({"latencies": [20.0] * 120, "limits": ["errors < 0.5%"]}, "which needs 200"),
        ({"latencies": []}, "nothing was answered or refused"),
        ({"elsewhere": Counter({"evil:80": 3})}, "it was sent to evil:80 3 times"),
        ({"seconds": 9, "missing": 1}, "the generator stood still for 1 of 10 seconds"),
        ({"late": 2}, "2 reports of the generator came too late"),
    ],
)
def test_what_cannot_be_trusted_is_invalid_and_never_held(more: dict[str, Any], reason: str) -> None:
    found = step(**more)
    assert not found.held
    assert not found.broken
    assert any(reason in fault for fault in found.invalid), found


def test_a_slow_generator_is_not_held_against_the_application() -> None:
    found = step(latencies=[900.0] * 1000, cpu=0.95)
    assert (found.broken, bool(found.invalid)) == ((), True)


def test_a_target_that_cannot_take_the_arrivals_is_a_no() -> None:
    found = step(latencies=[3000.0] * 1000, mode="open", intended=2000, started=1000)
    assert found.broken
    assert not found.invalid


def test_more_refusals_than_answers_are_no_figures_of_the_application() -> None:
    told = "60% of the answers were refusals (4xx) that the locustfile counts as good"
    assert [fault.startswith(told) for fault in step(refused=600).invalid] == [True]
    assert step(refused=500).held


def test_a_locustfile_that_was_held_back_says_nothing() -> None:
    assert "20 requests were held back" in step(held_back=20).invalid[0]
    assert step(held_back=10).held


def left(waiting: dict[float, int], latencies: Any = GOOD, **more: Any) -> Judged:
    """``waiting``: seconds waited -> how many requests that were never answered."""
    waited = Counter({int(seconds * 1_000_000): count for seconds, count in waiting.items()})
    return step(latencies=latencies, queue=waited, **more)


def test_requests_that_nobody_answered_are_no_pass_although_all_answers_were_quick() -> None:
    told = "requests were left without an answer: in the end 10 had waited up to 6.0 s, and no answer had taken longer"
    assert [fault.startswith(told) for fault in left({6: 10}).broken] == [True]
    opened = left({6: 60, 3: 60}, mode="open", intended=1000, started=1000)
    assert "p95 is 6,001 ms, limit < 400 ms" in opened.broken
    assert left({6: 10}, cpu=0.9).broken == (), "a generator that is at its end may not have read the answers"


def test_what_is_under_way_in_the_end_and_no_slower_than_the_rest_says_nothing() -> None:
    assert left({0.019: 10}).held
    assert left({6: 1}, users=40, load=40).held, "one of forty users is too little to tell"
    slow = [2000.0] * 500 + [2400.0] * 500
    assert left({2.3: 10}, slow, limits=["p95 < 3s"]).held
    assert left({2.5: 5}, slow, limits=["p95 < 3s"]).held


def test_what_is_waited_for_is_never_counted_as_quick() -> None:
    """Sixty of a thousand broke the limit; two hundred that were only just sent would hide them."""
    slow = [20.0] * 940 + [812.0] * 60
    assert left({0.001: 200}, slow).broken == ("p95 is 812 ms, limit < 400 ms",)


def verdict(*steps: Judged, needed: float = 0, grows: bool = True) -> Verdict:
    return judge(steps, needed=needed, unit="users", grows=grows)


HELD = [Judged(5, 50), Judged(10, 100), Judged(15, 150)]


def test_without_an_expectation_every_step_must_hold() -> None:
    assert (verdict(*HELD).passed, verdict(*HELD).capacity) == (True, 150)
    no = verdict(*HELD, Judged(20, 160, broken=("p95 is 812 ms, limit < 400 ms",)))
    assert (no.passed, no.reason) == (False, "At 20 users: p95 is 812 ms, limit < 400 ms")
    assert verdict(*HELD, Judged(20, 160, invalid=("too few",))).passed is None
    assert verdict().passed is None


def test_what_breaks_beyond_the_expected_traffic_is_told_only() -> None:
    found = verdict(*HELD, Judged(20, 160, broken=("p95 is 812 ms",)), needed=120)
    assert (found.passed, found.capacity) == (True, 150)
    assert found.notes == ["Beyond what is needed: At 20 users: p95 is 812 ms"]


def test_what_breaks_before_the_expected_traffic_is_a_no() -> None:
    assert verdict(*HELD, Judged(20, 160, broken=("p95 is 812 ms",)), needed=155).passed is False


def test_too_little_load_is_no_pass_and_no_failure() -> None:
    found = verdict(*HELD, needed=200)
    assert found.passed is None
    assert "200.0 are needed and were not reached; add steps" in found.reason


def test_a_throughput_that_grows_no_more_below_what_is_needed_is_a_no() -> None:
    assert verdict(*HELD, needed=200, grows=False).passed is False


def test_an_invalid_step_before_the_expected_traffic_is_no_pass() -> None:
    assert verdict(Judged(5, 50, invalid=("the generator used 90%",)), *HELD[1:], needed=120).passed is None


LEAST = ("p95 < 400ms", "requests_per_second > 90", "/: requests_per_second > 90")


def test_a_least_throughput_is_asked_of_the_whole_load_and_not_of_its_first_step() -> None:
    little, enough = step(2, GOOD[:200], limits=LEAST), step(10, limits=LEAST)
    assert little.held
    assert verdict(little, enough).passed is True
    found = verdict(little)
    told = "No step with every other limit kept reached it: requests_per_second is 20.0/s, limit > 90.0/s"
    assert (found.passed, found.reason) == (False, told)
    slow = step(20, [900.0] * 2000, limits=LEAST)
    assert verdict(little, slow).passed is False, "what was reached without keeping the others does not count"
    assert verdict(little, slow, needed=20).passed is False


def test_a_least_throughput_of_an_endpoint_that_was_not_asked_is_not_reached() -> None:
    assert verdict(step(limits=["/c: requests_per_second > 1"])).passed is not True
