"""Hints come from figures, and where nothing points anywhere there are none."""

from checks.tools.loading.hints import hints
from checks.tools.loading.knee import find
from tests.kinds_load.measured import figures, measured


def saturating(pool: int, service_ms: float) -> list:  # type: ignore[type-arg]
    """Ten-second steps of an application that works on ``pool`` requests at once, its users without pauses."""
    steps = []
    for users in (2, 4, 6, 8, 10, 12, 14, 16):
        busy = min(users, pool)
        rate = busy * 1000 / service_ms
        latency = users * service_ms / busy
        steps.append(measured(users, [latency] * round(rate * 10)))
    return steps


def told(steps: list) -> list[str]:  # type: ignore[type-arg]
    return hints(steps, find([(step.load, step.total.rate) for step in steps]))


def test_the_size_of_the_pool_that_is_full_follows_from_littles_law() -> None:
    found = told(saturating(8, 40))
    assert found[0].startswith("About 8 requests were worked on at once")
    assert not any("waited in a queue" in text for text in found)
    assert any("16 requests were in the application at once" in text for text in told(saturating(6, 40)))


def test_a_flat_median_with_a_rising_tail_is_contention() -> None:
    calm, held_up = measured(2, [10.0] * 1000), measured(4, [10.0] * 900 + [300.0] * 100)
    assert any("The median stays flat (1.0 times" in text for text in told([calm, held_up]))
    assert told([calm, measured(4, [10.0] * 1000)]) == []


def test_server_errors_and_the_slowest_addresses_are_named() -> None:
    endpoints = {"/a": figures([10.0] * 100), "/b": figures([80.0] * 100, failed=20, server_errors=20)}
    found = told([measured(2, endpoints=endpoints)])
    assert found[0].startswith("In the last step 10.0% of the answers were server errors")
    assert found[1] == "Slowest by p95 in the last step: /b 80 ms, /a 10 ms."


def test_the_database_is_quoted_only_where_it_says_something() -> None:
    step, none = [measured(2, [10.0] * 100)], find([])
    quiet = {"blocks_hit": 99_990, "blocks_read": 10, "waits": [], "connections": 5, "connections_at_most": 100}
    assert hints(step, none, quiet) == []
    loud = quiet | {
        "blocks_read": 20_000, "waits": [{"event": "Lock: transactionid", "share": 0.6}], "connections": 97,
        "temporary_bytes": 50_000_000, "deadlocks": 2,
        "statements": [{"text": "SELECT 1", "calls": 3, "seconds": 1.2}],
    }  # fmt: skip
    found = " ".join(hints(step, none, loud))
    for part in (
        "83.3% of 119,990 blocks",
        "60% of the busy sessions",
        "97 of 100",
        "50 MB",
        "2 deadlocks",
        "SELECT 1",
    ):
        assert part in found
