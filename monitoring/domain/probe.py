"""Probes follow the plan; their answers are recorded, and each moves its probe between up and down."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import transaction
from django.utils import timezone

from monitoring.domain import incident
from monitoring.enums import ProbeState
from monitoring.models import Incident, Probe, ProbeResult
from releases.models import Application, Environment, PlanVersion

KEEP_RESULTS: Final = timedelta(days=30)
PRUNE_BATCH: Final = 20_000
#: An answer this much sooner than the interval comes from a second prober, and would count twice.
_TOO_SOON: Final = 0.5
_SECONDS: Final = re.compile(r"(\d+(?:\.\d+)?)s")
_SPECIFIED: Final = (
    "url",
    "interval_seconds",
    "timeout_seconds",
    "expect_status",
    "expect_text",
    "slow_after_ms",
    "down_after",
    "up_after",
    "enabled",
)


@dataclass(frozen=True)
class Answer:
    """What one request of a probe brought. ``response_ms`` is None where no whole answer came."""

    probe_id: int
    at: datetime
    up: bool
    status: int | None = None
    response_ms: float | None = None
    error: str = ""


def sync_all() -> None:
    """Let the probes of every application follow its newest plan."""
    for application in Application.objects.all():
        sync_probes(application=application)


def follow_plan(plan: PlanVersion) -> None:
    """Called in the transaction that publishes a plan."""
    sync_probes(application=plan.application)


def sync_probes(*, application: Application) -> list[Probe]:
    """Make the probes of the newest plan, change those that it changed, and stop those that it no longer names.

    Probes keep their history. The incident of a stopped probe is closed, since nobody would ever close it.
    """
    try:
        version = application.current_plan
    except PlanVersion.DoesNotExist:
        return []
    places = {place.name: place for place in Environment.objects.filter(application=application)}
    wanted = [
        _specified(places[spec["environment"]], version.document["environments"][spec["environment"]]["url"], spec)
        for spec in version.document.get("probes", [])
        if spec["environment"] in places and version.document["environments"][spec["environment"]]["url"]
    ]
    with transaction.atomic():
        made = Probe.objects.bulk_create(
            wanted, update_conflicts=True, unique_fields=["environment", "name"], update_fields=_SPECIFIED
        )
        gone = Probe.objects.filter(environment__application=application, enabled=True).exclude(
            pk__in=[probe.pk for probe in made]
        )
        for open_one in Incident.objects.filter(probe__in=gone, closed_at__isnull=True).select_related("probe"):
            incident.close(probe=open_one.probe, at=timezone.now(), why="The plan no longer names this probe.")
        gone.update(enabled=False, state=ProbeState.UNKNOWN, state_since=timezone.now(), streak=0)
    return made


def _specified(environment: Environment, base: str, spec: dict[str, Any]) -> Probe:
    return Probe(
        environment=environment,
        name=spec["name"],
        url=base.split("#", 1)[0].split("?", 1)[0].rstrip("/") + spec["path"],
        interval_seconds=max(1, math.ceil(seconds_of(spec["interval"]))),
        timeout_seconds=max(1, math.ceil(seconds_of(spec["timeout"]))),
        expect_status=spec["status"],
        expect_text=spec["text"],
        slow_after_ms=max(1, round(seconds_of(spec["slow_after"]) * 1000)),
        down_after=spec["down_after"],
        up_after=spec["up_after"],
        enabled=True,
    )


def seconds_of(text: str) -> float:
    """A stored plan writes every duration as seconds: '10s', '0.25s'."""
    match = _SECONDS.fullmatch(text)
    if match is None:
        raise ValueError(f"The stored plan holds the duration {text!r}, which is not in seconds.")
    return float(match.group(1))


def record_results(answers: Sequence[Answer]) -> int:
    """Keep answers, in the order of their times, and open or close incidents; returns how many were kept.

    Answers of probes that are stopped or gone, and those of a second prober, are dropped. A fixed number of queries,
    and a few for each probe that went down or up.
    """
    with transaction.atomic():
        probes = {
            probe.pk: probe
            for probe in Probe.objects.select_for_update(no_key=True, of=("self",))
            .select_related("environment__application")
            .filter(pk__in={answer.probe_id for answer in answers}, enabled=True)
            .order_by("pk")
        }
        kept: list[ProbeResult] = []
        flips: list[tuple[Probe, Answer, str, int]] = []
        for answer in sorted(answers, key=lambda each: each.at):
            probe = probes.get(answer.probe_id)
            if probe is None or _too_soon(probe, answer):
                continue
            kept.append(_row(answer))
            if _advance(probe, answer):
                flips.append((probe, answer, probe.state, abs(probe.streak)))
        ProbeResult.objects.bulk_create(kept)
        Probe.objects.bulk_update(probes.values(), ["state", "state_since", "streak", "last_checked_at", "first_up_at"])
        for probe, answer, state, streak in flips:
            began = _began(probe, answer, streak)
            if state == ProbeState.DOWN:
                incident.open_for(probe=probe, at=began, reason=answer.error or "down")
            else:
                incident.close(probe=probe, at=began)
    return len(kept)


def _too_soon(probe: Probe, answer: Answer) -> bool:
    if probe.last_checked_at is None:
        return False
    return answer.at < probe.last_checked_at + timedelta(seconds=probe.interval_seconds * _TOO_SOON)


def _row(answer: Answer) -> ProbeResult:
    return ProbeResult(
        probe_id=answer.probe_id,
        at=answer.at,
        up=answer.up,
        status=answer.status,
        response_ms=answer.response_ms,
        error=answer.error[:300],
    )


def _advance(probe: Probe, answer: Answer) -> bool:
    """Count the answer; True where the probe just went down, or came up again from down.

    One odd answer flips nothing: ``down_after`` bad ones in a row open an incident, ``up_after`` good ones close it.
    """
    probe.last_checked_at = answer.at
    if is_awaited(probe) and not answer.up:
        return False
    if answer.up:
        probe.first_up_at = probe.first_up_at or answer.at
        probe.streak = max(probe.streak, 0) + 1
        before, needed, after = probe.state, probe.up_after, ProbeState.UP
        needed = 1 if before == ProbeState.UNKNOWN else needed
    else:
        probe.streak = min(probe.streak, 0) - 1
        before, needed, after = probe.state, probe.down_after, ProbeState.DOWN
    if before == after or abs(probe.streak) < needed:
        return False
    probe.state, probe.state_since = after, answer.at
    return ProbeState.DOWN in (before, after)


def is_awaited(probe: Probe) -> bool:
    """Whether it was never up and nothing was deployed there: it cannot be down, for it is not there yet."""
    return probe.first_up_at is None and not probe.environment.current_build_digest


def _began(probe: Probe, answer: Answer, streak: int) -> datetime:
    """When the row of equal answers began that ends with this one."""
    row = ProbeResult.objects.filter(probe=probe, at__lte=answer.at).order_by("-at").values_list("at", flat=True)
    times = list(row[:streak])
    return times[-1] if times else answer.at


def prune(*, before: datetime | None = None) -> int:
    """Remove answers older than 30 days, in batches, so that no long lock stands in the prober's way."""
    before = before or timezone.now() - KEEP_RESULTS
    removed = 0
    while True:
        old = ProbeResult.objects.filter(at__lt=before).order_by("pk").values("pk")[:PRUNE_BATCH]
        count, _ = ProbeResult.objects.filter(pk__in=old).delete()
        removed += count
        if count < PRUNE_BATCH:
            return removed


def stale(probes: Iterable[Probe], at: datetime) -> list[Probe]:
    """Enabled probes that nobody has asked for three intervals: the prober does not run, or cannot write."""
    return [
        probe
        for probe in probes
        if probe.enabled
        and (
            probe.last_checked_at is None
            or at - probe.last_checked_at > timedelta(seconds=3 * probe.interval_seconds + probe.timeout_seconds + 5)
        )
    ]
