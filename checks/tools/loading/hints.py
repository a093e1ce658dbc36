"""Where it may be stuck: what the steps, and the database's own statistics, point at. Each hint names its figures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from checks.tools.loading.knee import Knee
from checks.tools.loading.record import Measured

FLAT: Final = 1.3
RISEN: Final = 2.0
SHARE_OF_ERRORS: Final = 0.01
CACHE_AT_LEAST: Final = 0.99
BLOCKS_THAT_COUNT: Final = 10_000
SLOWEST: Final = 3


def hints(steps: Sequence[Measured], knee: Knee, database: Mapping[str, Any] | None = None) -> list[str]:
    """Sentences, the plainest first; none where nothing points anywhere."""
    answered = [step for step in steps if step.total.count]
    if not answered:
        return []
    found = [*_pool(answered, knee), *_contention(answered), *_server_errors(answered, knee)]
    if database:
        found += _database(database)
    return [*found, *_slowest(answered[-1])]


def _at_knee(steps: Sequence[Measured], knee: Knee) -> int | None:
    return knee.step if knee.state == "reached" and knee.step < len(steps) else None


def _pool(steps: Sequence[Measured], knee: Knee) -> Iterator[str]:
    """Little's law, L = X * R: what the fastest throughput leaves of the time of a quiet system is how many work."""
    place = _at_knee(steps, knee)
    if place is None:
        return
    most = max(step.total.rate for step in steps[place:])
    quiet = steps[0].total.mean / 1000
    working = most * quiet
    yield (
        f"About {max(1, round(working)):,} requests were worked on at once when throughput stopped growing"
        f" ({most:,.1f}/s times {quiet * 1000:,.0f} ms of an unloaded answer, by Little's law). A pool of that size is"
        " full: look at web workers and threads, then at database connections, then at the cores."
    )
    waiting = steps[-1].total.rate * steps[-1].total.mean / 1000
    if waiting > 2 * max(working, 1):
        yield f"In the last step {waiting:,.0f} requests were in the application at once; the others waited in a queue."


def _contention(steps: Sequence[Measured]) -> Iterator[str]:
    first, last = steps[0].total, steps[-1].total
    if len(steps) < 2 or min(first.percentile(50), first.percentile(99)) <= 0:
        return
    median, tail = last.percentile(50) / first.percentile(50), last.percentile(99) / first.percentile(99)
    if median < FLAT and tail > RISEN:
        yield (
            f"The median stays flat ({median:.1f} times that of the first step) while p99 rises {tail:.1f} times: some"
            " requests wait for something that others hold. Look for row locks, a cache that is filled anew, or one"
            " slow address among fast ones."
        )


def _server_errors(steps: Sequence[Measured], knee: Knee) -> Iterator[str]:
    place = _at_knee(steps, knee)
    beyond = steps[place if place is not None else len(steps) - 1 :]
    count = sum(step.total.count for step in beyond)
    errors = sum(step.total.server_errors for step in beyond)
    if count and errors / count >= SHARE_OF_ERRORS:
        where = "From the knee on" if place is not None else "In the last step"
        yield (
            f"{where} {errors / count:.1%} of the answers were server errors (5xx): a limit of connections, memory or"
            " time is reached, and requests are refused instead of waiting."
        )


def _database(said: Mapping[str, Any]) -> Iterator[str]:
    hits, reads = said.get("blocks_hit", 0), said.get("blocks_read", 0)
    if hits + reads >= BLOCKS_THAT_COUNT and hits / (hits + reads) < CACHE_AT_LEAST:
        yield (
            f"The database found {hits / (hits + reads):.1%} of {hits + reads:,} blocks in its cache; more"
            " shared_buffers, or an index where a table is read whole, would keep it off the disk."
        )
    waits = said.get("waits") or []
    if waits and waits[0]["share"] >= 0.2:
        yield f"{waits[0]['share']:.0%} of the busy sessions of the database waited for {waits[0]['event']}."
    if said.get("connections", 0) >= 0.9 * said.get("connections_at_most", 10**9):
        yield f"{said['connections']} of {said['connections_at_most']} connections of the database were taken."
    if said.get("temporary_bytes", 0) > 10_000_000:
        written = said["temporary_bytes"] / 1e6
        yield f"Queries wrote {written:,.0f} MB of temporary files: work_mem is too small for them."
    if said.get("deadlocks"):
        yield f"The database ended {said['deadlocks']} deadlocks."
    for statement in (said.get("statements") or [])[:1]:
        yield (
            f"The database worked longest, {statement['seconds']:.1f} s in {statement['calls']:,} calls, on:"
            f" {statement['text']}"
        )


def _slowest(step: Measured) -> Iterator[str]:
    ranked = sorted(step.endpoints.items(), key=lambda item: -item[1].percentile(95))
    if len(ranked) > 1:
        told = ", ".join(f"{name} {figures.percentile(95):,.0f} ms" for name, figures in ranked[:SLOWEST])
        yield f"Slowest by p95 in the last step: {told}."
