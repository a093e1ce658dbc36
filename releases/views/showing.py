"""Domain objects in the shapes that the components show. Words and addresses only, no decisions."""

from datetime import timedelta
from functools import lru_cache
from typing import Any

from django.urls import reverse

from releases.domain.gate import Blocker, Gate, StationSummary
from releases.domain.items import ItemStatus
from releases.domain.poll import Counting, StationVote
from releases.enums import ItemState, ReleaseState, Requirement
from releases.models import Release

TONES = {"go": "go", "no_go": "nogo", "hold": "hold", "running": "live"}
LETTERS = {"testing": "T", "security": "S", "scalability": "C", "transition": "D", "recovery": "B", "monitoring": "M"}

#: Blockers whose name alone leads to their page.
_OWN_PAGES = {"run": "checks:run_by_id", "incident": "monitoring:incident", "watch": "monitoring:release_panel"}


@lru_cache(maxsize=10_000)
def address(name: str, *args: Any) -> str:
    """``reverse``, kept: a board names sixty addresses, and is shown again with each ring."""
    return reverse(name, args=args)


def blocker_url(release: Release, blocker: Blocker) -> str:
    """The page where this blocker is dealt with."""
    kind, name = blocker.target
    if kind in _OWN_PAGES:
        return address(_OWN_PAGES[kind], name)
    if kind == "item":
        return address("releases:item", release.pk, name)
    if kind == "risk":
        return address("releases:risk", release.pk, name)
    if kind == "window":
        return address("releases:window", release.pk)
    if kind == "freeze":
        return address("releases:calendar")
    if kind in ("vote", "poll"):
        return address("releases:vote", release.pk)
    if kind == "environment":
        return address("releases:application", release.application.slug)
    if kind == "finding":
        return address("checks:finding", release.application.slug, name)
    return address("monitoring:overview")


def shown_blockers(release: Release, blockers: list[Blocker]) -> list[dict[str, str]]:
    """Each with the severity that gives it its glyph: what says no looks other than what is still missing."""
    return [
        {
            "subject": blocker.title,
            # The subject stands before the text already.
            "text": blocker.text.removeprefix(f"{blocker.title}: "),
            "url": blocker_url(release, blocker),
            "severity": blocker.severity.value,
        }
        for blocker in blockers
    ]


def shown_station(release: Release, station: StationSummary, items: list[ItemStatus]) -> dict[str, Any]:
    """A requirement for the component ``station``: a bar with one part for each tone of its items."""
    mine = [status for status in items if status.item.requirement == station.requirement and status.item.blocking]
    amounts = {"go": 0, "idle": 0, "hold": 0, "live": 0, "nogo": 0}
    for status in mine:
        amounts[_item_tone(status)] += 1
    expiring = station.verdict == "hold" and any(status.state == ItemState.EXPIRING for status in mine)
    return {
        "name": Requirement(station.requirement).label,
        "letter": LETTERS[station.requirement],
        "url": address("releases:requirement", release.pk, station.requirement),
        "state": "expiring" if expiring else station.verdict,
        "parts": [(tone, amount) for tone, amount in amounts.items() if amount and tone != "idle"],
        "total": max(1, station.total),
        "progress_label": f"{station.done} of {station.total} answered",
        "summary": f"{station.done} of {station.total} · {station.text}",
    }


def _item_tone(status: ItemStatus) -> str:
    if status.green:
        return "go"
    if status.running:
        return "live"
    if status.refused or status.state == ItemState.ERRORED:
        return "nogo"
    return "idle" if status.state == ItemState.OPEN else "hold"


def item_look(status: ItemStatus) -> str:
    """The state as the table of looks names it: a sign-off that holds is 'signed'."""
    signed = status.state == ItemState.PASSED and not status.item.section and not status.item.receipt
    return "signed" if signed else status.state.value


def shown_items(release: Release, items: list[ItemStatus]) -> list[dict[str, Any]]:
    return [
        {
            "status": status,
            "item": status.item,
            "look": item_look(status),
            "url": address("releases:item", release.pk, status.item.key),
            "late": _late(release, status),
        }
        for status in items
    ]


def _late(release: Release, status: ItemStatus) -> timedelta | None:
    """How long before the window's end the evidence stops to hold."""
    if status.valid_until and release.window_closes and status.valid_until < release.window_closes:
        return release.window_closes - status.valid_until
    return None


def shown_poll(poll: list[StationVote]) -> list[dict[str, Any]]:
    return [
        {
            "station": station.title,
            "choice": station.vote.choice if station.vote else "none",
            "person": str(station.vote.voter) if station.vote else "",
            "at": station.vote.cast_at if station.vote else None,
            "digest": station.vote.manifest_id if station.vote else "",
            "comment": station.vote.comment if station.vote else "",
            "counts": station.counting == Counting.COUNTED,
            "why_not": station.text,
            "note": "",
        }
        for station in poll
    ]


def timeline(release: Release, gate: Gate) -> list[dict[str, Any]]:
    """Rows for "evidence against the window": evidence that ends, soonest end first, then what holds for good."""
    rows = [
        {
            "label": _short(status.item.section or status.item.receipt),
            "start": status.evidence.recorded_at,
            "end": status.valid_until or status.evidence.valid_until,
            "url": address("releases:item", release.pk, status.item.key),
            "failed": status.state in (ItemState.FAILED, ItemState.ERRORED),
        }
        for status in gate.items
        if status.evidence is not None and (status.item.section or status.item.receipt)
    ]
    return sorted(rows, key=lambda row: (row["end"] is None, row["end"] or row["start"]))


def _short(source: str) -> str:
    """'checks.drill' -> 'Drill', 'test-alert' -> 'Test alert': the rows of a chart have little room."""
    return source.removeprefix("checks.").replace("-", " ").capitalize()


def risk_cells(gate: Gate) -> list[dict[str, Any]]:
    return [
        {"likelihood": position.likelihood, "impact": position.impact, "title": position.risk.title}
        for position in gate.risks
    ]


def standing(release: Release) -> str:
    """What a release's state means once the gate is not asked any more, and what comes next."""
    place = release.target_environment.name
    return {
        ReleaseState.DEPLOYING: "The deploy runs. Its steps and its log are on its page, below.",
        ReleaseState.WATCHING: f"{release.version} runs in {place} and is watched before it is called live.",
        ReleaseState.LIVE: f"{release.version} went live in {place}. The evidence pack holds what was known then.",
        ReleaseState.UNKNOWN: "Nobody knows how the deploy ended. A release manager looks at "
        f"{place} and decides on the run's page, below.",
        ReleaseState.ROLLED_BACK: "The previous build runs again. Reopen the release to rehearse and vote anew.",
        ReleaseState.CANCELLED: "It was cancelled and never goes live. What was recorded stays.",
    }.get(ReleaseState(release.state), "")


def facts(release: Release, gate: Gate) -> dict[str, Any]:
    """Figures of the head: the way back as rehearsed, and the recovery targets as measured."""
    figures = {status.item.key: status.evidence.figures for status in gate.items if status.evidence is not None}
    back = figures.get("recovery.rollback", {}).get("seconds")
    drill = figures.get("recovery.drill", {})
    recovery = release.plan_version.document.get("recovery", {})
    return {
        "rollback_seconds": back,
        "latest_abort": release.window_closes - timedelta(seconds=float(back))
        if back and release.window_closes
        else None,
        "rto_seconds": drill.get("rto_seconds"),
        "rpo_seconds": drill.get("rpo_seconds"),
        "rto_target": _seconds(recovery.get("rto")),
        "rpo_target": _seconds(recovery.get("rpo")),
    }


def _seconds(duration: str | None) -> float | None:
    """A plan's stored duration, such as '900s'."""
    return float(duration.removesuffix("s")) if duration else None
