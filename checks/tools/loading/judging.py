"""What measured steps say: which limits broke, what cannot be trusted, and up to where the application stands."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from checks.tools.loading.limits import Limit
from checks.tools.loading.record import Figures, Measured

CPU_AT_MOST: Final = 0.8
ACHIEVED_AT_LEAST: Final = 0.95
#: Of what users do so much may break off by an exception of the locustfile, or wait; and of answers so many are told.
BROKEN_AT_MOST: Final = 0.01
REFUSED_UNTOLD: Final = 0.01
#: With more refusals than answers it is the door that was loaded.
REFUSED_AT_MOST: Final = 0.5


@dataclass(frozen=True)
class Judged:
    """One step. ``broken``: limits that did not hold. ``invalid``: why nothing can be said of it.

    ``throughput``: requests a second that were answered as declared, whatever was sent. ``reached``: what the step has
    for each limit that is asked of the whole load.
    """

    load: float
    throughput: float
    broken: tuple[str, ...] = ()
    invalid: tuple[str, ...] = ()
    reached: tuple[tuple[Limit, float], ...] = ()

    @property
    def held(self) -> bool:
        return not self.broken and not self.invalid


@dataclass
class Verdict:
    """``passed`` None: it cannot be said. ``capacity``: the most requests a second with every limit kept.

    ``limits_held``: the limits alone say yes, whatever a comparison says besides.
    """

    passed: bool | None
    reason: str
    steps: list[Judged]
    capacity: float = 0.0
    needed: float = 0.0
    limits_held: bool = False
    notes: list[str] = field(default_factory=list)


def broken_limits(step: Measured | Figures, limits: Sequence[Limit]) -> Iterator[str]:
    """A sentence for each limit that does not hold; limits on an endpoint that was never asked say nothing here."""
    for limit in limits:
        figures = _figures(step, limit)
        seen = figures is not None and (figures.count or (limit.is_latency and figures.waiting))
        if figures is not None and seen and not limit.allows(value_of(figures, limit)):
            yield limit.told(value_of(figures, limit))


def value_of(figures: Figures, limit: Limit) -> float:
    if limit.metric == "errors":
        return figures.errors
    if limit.metric == "requests_per_second":
        return figures.rate
    if limit.metric == "mean":
        return figures.mean
    if limit.metric == "max":
        return figures.slowest
    return figures.percentile(limit.percentile or 50.0)


def _figures(step: Measured | Figures, limit: Limit) -> Figures | None:
    if isinstance(step, Figures):
        return step
    return step.endpoints.get(limit.endpoint) if limit.endpoint else step.total


def judge_step(step: Measured, limits: Sequence[Limit], *, samples: int, unit: str) -> Judged:
    """``samples``: so few requests are never enough, whatever the limits need."""
    total = step.total
    broken = [step.aborted] if step.aborted else []
    broken += broken_limits(step, [limit for limit in limits if not limit.is_reached])
    if total.count and total.failed == total.count:
        broken.append(f"all {total.count:,} requests failed")
    broken += _left_waiting(step)
    invalid = list(_generator_faults(step, unit, bool(broken)))
    invalid += _sample_faults(step, limits, samples, bool(broken))
    if not total.count:
        invalid = ["nothing was answered or refused, so there is nothing to judge"]
    # Behind a colon stands the text of somebody's exception.
    if any("generator" in fault.partition(": ")[0] for fault in invalid) or step.elsewhere:
        # A slow generator makes everything look slow: what it says is not held against the application either.
        broken = []
    return Judged(step.load, total.rate, tuple(broken), tuple(invalid), tuple(_reached(step, limits)))


def _reached(step: Measured, limits: Sequence[Limit]) -> Iterator[tuple[Limit, float]]:
    for limit in limits:
        if limit.is_reached:
            figures = _figures(step, limit)
            yield limit, value_of(figures, limit) if figures is not None else 0.0


def told_of_locustfile(steps: Sequence[Measured]) -> list[str]:
    """What a locustfile calls good and others might not."""
    refused, count = sum(step.refused for step in steps), sum(step.total.count for step in steps)
    if not count or refused / count < REFUSED_UNTOLD:
        return []
    return [f"{refused / count:.0%} of the answers were refusals (4xx) that the locustfile counts as good."]


def _left_waiting(step: Measured) -> Iterator[str]:
    """A server that stops answering has no slow answers and no failures: what it never answered must be looked at."""
    stuck = step.stuck
    if stuck.share > 1 - ACHIEVED_AT_LEAST:
        yield (
            f"requests were left without an answer: in the end {stuck.count:,} had waited up to"
            f" {stuck.waited / 1000:,.1f} s, and no answer had taken longer than {stuck.slowest_answer:,.0f} ms"
        )


def _generator_faults(step: Measured, unit: str, has_broken: bool) -> Iterator[str]:
    if step.cpu > CPU_AT_MOST:
        needed = f"the generator needed {step.cpu:.0%} of a core, over {CPU_AT_MOST:.0%}"
        yield f"{needed}; give it more processes or machines"
    if step.missing > (1 - ACHIEVED_AT_LEAST) * (step.seconds + step.missing):
        yield f"the generator stood still for {step.missing:,} of {step.seconds + step.missing:,} seconds"
    if step.late:
        yield f"{step.late:,} reports of the generator came too late to be counted; give it fewer processes"
    if step.silent > step.late:
        yield f"{step.silent - step.late:,} seconds of a generator are missing; it was lost, or its clock is another"
    if step.unheard > (1 - ACHIEVED_AT_LEAST) * step.seconds:
        yield f"{step.unheard:,} seconds of single processes of the generator are missing; one was lost or stood still"
    for host, count in step.elsewhere.most_common(1):
        yield f"it was sent to {host} {count:,} times, which is not the server under test"
    yield from _scenario_faults(step)
    if step.achieved < ACHIEVED_AT_LEAST and not has_broken and not step.aborted:
        yield f"only {step.achieved:.0%} of the intended {step.load:g} {unit} were achieved"


def _scenario_faults(step: Measured) -> Iterator[str]:
    """What the locustfile did that leaves its figures without meaning."""
    if step.broken.total() > BROKEN_AT_MOST * step.total.count:
        why, _ = step.broken.most_common(1)[0]
        times = f"users of the locustfile broke off {step.broken.total():,} times"
        yield f"{times}, so what they would have asked was not: {why}"
    if step.refused > REFUSED_AT_MOST * step.total.count:
        yield (
            f"{step.refused / step.total.count:.0%} of the answers were refusals (4xx) that the locustfile counts as"
            " good, and how quickly something is refused says nothing of how quick it is"
        )
    if step.held_back > BROKEN_AT_MOST * step.total.count:
        yield (
            f"the locustfile asked for more than was consented to, and {step.held_back:,} requests were held back;"
            " lower the steps, or record a consent to more (load.consent: at_most)"
        )


def _sample_faults(step: Measured, limits: Sequence[Limit], samples: int, has_broken: bool) -> Iterator[str]:
    if has_broken:
        return
    if step.total.count < samples:
        yield f"{step.total.count:,} requests are too few; at least {samples:,} are needed"
    for limit in limits:
        figures = step.endpoints.get(limit.endpoint) if limit.endpoint else step.total
        count = figures.count if figures else 0
        if count < limit.needs:
            yield f"{count:,} requests are too few for {limit.text!r}, which needs {limit.needs:,}"


def judge(steps: Sequence[Judged], *, needed: float, unit: str, grows: bool = True) -> Verdict:
    """Steps from the least load to the most. ``needed``: requests a second with headroom, or 0 where none is expected.

    Without an expectation every step must hold. With one, the steps up to it must hold; what lies beyond is told only.
    ``grows``: throughput still grew at the end (no knee), so that too little load was tried rather than reached.
    """
    verdict = Verdict(None, "", list(steps), needed=needed)
    for step in steps:
        at = f"At {step.load:g} {unit}: "
        if step.broken:
            verdict.passed, verdict.reason = False, at + step.broken[0]
            break
        if step.invalid:
            verdict.reason = at + step.invalid[0]
            break
        verdict.capacity = max(verdict.capacity, step.throughput)
        if needed and verdict.capacity >= needed:
            verdict.passed = True
    if needed and verdict.capacity >= needed:
        if verdict.reason:
            verdict.notes.append(f"Beyond what is needed: {verdict.reason}")
        verdict.passed, verdict.reason = True, _stands(verdict)
    elif not verdict.reason:
        _without_stop(verdict, steps, grows)
    if verdict.passed:
        _ask_the_whole(verdict, steps)
    return verdict


def _ask_the_whole(verdict: Verdict, steps: Sequence[Judged]) -> None:
    """Limits that a step of little load cannot keep: the best step counts that kept all the others."""
    best: dict[Limit, float] = {}
    for step in steps:
        if not step.held:
            break
        for limit, value in step.reached:
            best[limit] = max(best.get(limit, 0.0), value)
    for limit, value in best.items():
        if not limit.allows(value):
            verdict.passed = False
            verdict.reason = f"No step with every other limit kept reached it: {limit.told(value)}"
            return


def _without_stop(verdict: Verdict, steps: Sequence[Judged], grows: bool) -> None:
    if not steps:
        verdict.reason = "No step was carried out."
    elif not verdict.needed:
        verdict.passed, verdict.reason = True, _stands(verdict)
    elif grows:
        verdict.reason = (
            f"All limits held up to {verdict.capacity:,.1f} requests/s, but {verdict.needed:,.1f} are needed and were"
            " not reached; add steps"
        )
    else:
        verdict.passed = False
        verdict.reason = (
            f"Throughput stops growing at {verdict.capacity:,.1f} requests/s; {verdict.needed:,.1f} are needed"
        )


def _stands(verdict: Verdict) -> str:
    text = f"All limits held up to {verdict.capacity:,.1f} requests/s"
    return f"{text}; {verdict.needed:,.1f} are needed" if verdict.needed else text
