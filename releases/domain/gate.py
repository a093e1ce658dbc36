"""The gate: may this build go live now, and if not, what stands in the way.

Nothing here is stored. ``evaluate`` computes everything from evidence, waivers, risks and votes, in a fixed number of
queries; other apps add what they know (runs, incidents) through ``register_source``.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from itertools import chain
from typing import Any, Final
from uuid import UUID

import rfc8785
from django.utils import timezone

from releases import queries
from releases.domain.defaults import POLICY_VERSION
from releases.domain.items import Activity, ItemStatus, compute_items, load_items
from releases.domain.items import register_activity as register_activity
from releases.domain.poll import Counting, StationVote, compute_poll, load_poll
from releases.domain.positions import RiskPosition, compute_risks, load_risks
from releases.domain.wording import moment, span, stamp
from releases.enums import Choice, GateVerdict, ItemState, Requirement
from releases.models import BreakGlass, ChangeFreeze, Release

RUNNING: Final = "running"


@dataclass(frozen=True)
class Blocker:
    """One thing that keeps the gate closed. ``target`` says where to look: ("item", key), ("vote", station),
    ("run", run id), ("risk", key), ("window", ""), ("freeze", id), ("poll", ""), ("environment", name).

    ``severity``: HOLD for what is missing, waiting or expiring; NO_GO for a plain no.
    """

    code: str
    title: str
    text: str
    target: tuple[str, str]
    severity: GateVerdict = GateVerdict.HOLD


@dataclass(frozen=True)
class StationSummary:
    """One of the six requirements. ``verdict``: go, hold, no_go or running; ``done`` of ``total`` blocking items."""

    requirement: Requirement
    verdict: str
    done: int
    total: int
    text: str


@dataclass(frozen=True)
class Gate:
    """Everything the decision rests on. ``launch_blockers`` refuse only a launch at this moment (window not open)."""

    verdict: GateVerdict
    blockers: list[Blocker]
    launch_blockers: list[Blocker]
    items: list[ItemStatus]
    stations: list[StationSummary]
    poll: list[StationVote]
    risks: list[RiskPosition]
    manifest: dict[str, Any]
    break_glass: list[BreakGlass] = field(default_factory=list)

    @cached_property
    def digest(self) -> str:
        """What a vote given now is bound to."""
        return digest_of(self.manifest)

    @property
    def open(self) -> bool:
        return not self.blockers

    @property
    def may_launch(self) -> bool:
        return not self.blockers and not self.launch_blockers


Statuses = Mapping[UUID, Sequence[ItemStatus]]
Source = Callable[[Sequence[Release], Statuses, datetime], Mapping[UUID, list[Blocker]]]
_sources: list[Source] = []


def register_source(source: Source) -> None:
    """Let another app name blockers: (releases, release id -> its items as they stand, moment) -> release id ->
    blockers. It answers for any number of releases in a fixed number of queries.
    """
    if source not in _sources:
        _sources.append(source)


def evaluate(release: Release, at: datetime | None = None) -> Gate:
    """The gate of one release at ``at`` (now)."""
    return evaluate_many([release], at)[release.pk]


def evaluate_many(releases: Sequence[Release], at: datetime | None = None) -> dict[UUID, Gate]:
    """The gates of many releases, in as many queries as for one. Load application, plan and environments before."""
    at = at or timezone.now()
    item_facts, risk_facts, poll_facts = load_items(releases), load_risks(releases), load_poll(releases)
    glasses = queries.break_glass(releases)
    signed = ((glass, who) for glass in glasses for who in ("requested_by", "approved_by"))
    queries.name_people(chain(item_facts.people(), risk_facts.people(), poll_facts.people(), signed))
    statuses = {release.pk: compute_items(release, item_facts, at) for release in releases}
    freezes, reported = queries.freezes(releases), _reported(releases, statuses, at)
    gates = {}
    for release in releases:
        items = statuses[release.pk]
        risks = compute_risks(release, risk_facts, items)
        manifest = manifest_document(release, items, risks)
        # Where nobody voted yet, there is nothing to hold it against; a list of releases has many of those.
        digest = digest_of(manifest) if poll_facts.votes.get(release.pk) else ""
        poll = compute_poll(release, poll_facts, items, digest, at)
        blockers = [
            *_window_blockers(release, freezes, at),
            *(_item_blocker(status) for status in items if status.item.blocking and not status.green),
            *(_risk_blocker(position) for position in risks if position.blocks),
            *_activity_blockers(release, item_facts.active.get(release.pk, []), items),
            *reported[release.pk],
            *_poll_blockers(release, poll),
        ]
        blockers.sort(key=lambda blocker: blocker.severity != GateVerdict.NO_GO)
        gates[release.pk] = Gate(
            verdict=_verdict(blockers),
            blockers=blockers,
            launch_blockers=_launch_blockers(release, at),
            items=items,
            stations=_stations(items),
            poll=poll,
            risks=risks,
            manifest=manifest,
            break_glass=[glass for glass in glasses if glass.release_id == release.pk],
        )
    return gates


def canonical_manifest(document: Mapping[str, Any]) -> bytes:
    """The bytes of a manifest whose SHA-256 is its digest (RFC 8785)."""
    return rfc8785.dumps(dict(document))


def digest_of(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_manifest(manifest)).hexdigest()


def manifest_document(release: Release, items: Sequence[ItemStatus], risks: Sequence[RiskPosition]) -> dict[str, Any]:
    """What a vote is about. Holds nothing that changes by itself while time passes."""
    window = {"opens": stamp(release.window_opens), "closes": stamp(release.window_closes)} if (
        release.window_opens and release.window_closes
    ) else None  # fmt: skip
    return {
        "policy": POLICY_VERSION,
        "release": str(release.pk),
        "application": release.application.slug,
        "version": release.version,
        "build": {"name": release.build_name, "digest": release.build_digest, "size": release.build_size},
        "plan": {"number": release.plan_version.number, "digest": release.plan_version.digest},
        # Whose scripts the plan's commands start: the same plan beside another folder is another deploy.
        "plan_folder": release.application.plan_folder,
        "source_environment": release.source_environment.name,
        "target_environment": release.target_environment.name,
        "window": window,
        "poll_round": release.poll_round,
        "items": [_item_entry(status) for status in items if status.item.blocking],
        "risks": [_risk_entry(position) for position in risks],
        "break_glass": None,
    }


def _item_entry(status: ItemStatus) -> dict[str, Any]:
    evidence, waiver = status.evidence, status.waiver
    entry: dict[str, Any] = {"key": status.item.key, "title": status.item.title, "evidence": None, "waiver": None}
    if evidence is not None:
        entry["evidence"] = {
            "id": str(evidence.pk),
            "verdict": evidence.verdict,
            "summary": evidence.summary,
            "build_digest": evidence.build_digest,
            "section_digest": evidence.section_digest,
            "valid_until": stamp(evidence.valid_until) if evidence.valid_until else None,
        }
    if waiver is not None:
        entry["waiver"] = {
            "id": waiver.pk,
            "reason": waiver.reason,
            # By number: a name may change, and is gone when a person is erased, and the vote was about the person.
            "requested_by": waiver.requested_by_id,
            "approved_by": waiver.approved_by_id,
            "expires_at": stamp(waiver.expires_at),
        }
    return entry


def _risk_entry(position: RiskPosition) -> dict[str, Any]:
    opened = position.risk.opened_at if position.opened else None
    return {
        **({"opened": stamp(opened)} if opened else {}),
        "key": position.risk.key,
        "title": position.risk.title,
        "likelihood": position.likelihood,
        "impact": position.impact,
        "appetite": position.risk.appetite,
        "treatment": position.treatment.value,
        "assessment": position.assessment.pk if position.assessment else None,
    }


def _reported(releases: Sequence[Release], statuses: Statuses, at: datetime) -> dict[UUID, list[Blocker]]:
    found: dict[UUID, list[Blocker]] = defaultdict(list)
    for source in _sources:
        for release_id, blockers in source(releases, statuses, at).items():
            found[release_id] += blockers
    return found


def touches(freeze: ChangeFreeze, application_id: int, opens: datetime, closes: datetime) -> bool:
    """Whether the freeze concerns the application and overlaps these times."""
    concerned = freeze.application_id in (None, application_id)
    return concerned and freeze.lifted_at is None and freeze.opens < closes and freeze.closes > opens


def _window_blockers(release: Release, freezes: Iterable[ChangeFreeze], at: datetime) -> list[Blocker]:
    opens, closes = release.window_opens, release.window_closes
    if opens is None or closes is None:
        text = "No window is scheduled. A release manager schedules it."
        return [Blocker("window_missing", "Window", text, ("window", ""))]
    if closes <= at:
        text = f"The window closed {moment(closes)}. A release manager schedules a new one."
        return [Blocker("window_closed", "Window", text, ("window", ""))]
    return [
        Blocker(
            "freeze",
            "Change freeze",
            f"A change freeze lies over the window, {moment(freeze.opens)} to {moment(freeze.closes)}: {freeze.reason}",
            ("freeze", str(freeze.pk)),
        )
        for freeze in freezes
        if touches(freeze, release.application_id, opens, closes)
    ]


def _launch_blockers(release: Release, at: datetime) -> list[Blocker]:
    if release.window_opens is None or release.window_opens <= at:
        return []
    text = f"The window opens {moment(release.window_opens)}, in {span(release.window_opens - at)}."
    return [Blocker("window_not_open", "Window", text, ("window", ""))]


def _item_blocker(status: ItemStatus) -> Blocker:
    severity = GateVerdict.NO_GO if status.refused else GateVerdict.HOLD
    target = ("item", status.item.key)
    return Blocker(f"item_{status.state.value}", status.item.title, status.reason, target, severity)


def _activity_blockers(release: Release, active: Iterable[Activity], items: Sequence[ItemStatus]) -> list[Blocker]:
    """What changes the target now, whoever's it is, and own runs under way that a blocking item waits for."""
    asked = {status.item.section for status in items if status.item.blocking}
    blockers = []
    for activity in active:
        if activity.changing and activity.environment_id == release.target_environment_id:
            blockers.append(_change_blocker(activity, release.target_environment.name))
        elif activity.own and activity.section in asked:
            title = f"{activity.section} is under way"
            text = f"Run #{activity.number} is {activity.state}; its answer may change the verdict."
            blockers.append(Blocker("run.active", title, text, ("run", str(activity.run_id))))
    return blockers


def _change_blocker(activity: Activity, where: str) -> Blocker:
    what, target = f"{activity.kind} run #{activity.number}", ("run", str(activity.run_id))
    if activity.lost:
        text = f"Nobody knows what {what} did there: its worker died. A person must decide."
        return Blocker("run.unknown", f"What happened in {where}?", text, target, GateVerdict.NO_GO)
    text = f"{what[:1].upper()}{what[1:]} is {activity.state} there."
    return Blocker("run.exclusive", f"{where} is being changed", text, target)


def _risk_blocker(position: RiskPosition) -> Blocker:
    if position.opened:
        return Blocker(
            "risk_opened", position.risk.title, position.reason, ("risk", position.risk.key), GateVerdict.NO_GO
        )
    text = (
        f"{position.likelihood} × {position.impact} = {position.score} is over the appetite of "
        f"{position.risk.appetite}. {position.reason} Lower it, or let two people accept it."
    )
    return Blocker("risk_over_appetite", position.risk.title, text, ("risk", position.risk.key), GateVerdict.NO_GO)


def _poll_blockers(release: Release, poll: Sequence[StationVote]) -> list[Blocker]:
    if release.poll_opened_at is None:
        return [Blocker("poll_closed", "Poll", "A release manager has not asked for votes yet.", ("poll", ""))]
    blockers = []
    for station in poll:
        if station.in_favour:
            continue
        code, text, severity = f"vote_{station.counting}", station.text, GateVerdict.HOLD
        if station.counting == Counting.COUNTED and station.vote is not None:
            code = f"vote_{station.vote.choice}"
            text = f"{station.vote.voter} voted {Choice(station.vote.choice).label.lower()}: {station.vote.comment}"
            severity = GateVerdict.NO_GO if station.against else GateVerdict.HOLD
        blockers.append(Blocker(code, station.title, text, ("vote", station.key), severity))
    return blockers


def _verdict(blockers: Sequence[Blocker]) -> GateVerdict:
    if any(blocker.severity == GateVerdict.NO_GO for blocker in blockers):
        return GateVerdict.NO_GO
    return GateVerdict.HOLD if blockers else GateVerdict.GO


def _stations(items: Sequence[ItemStatus]) -> list[StationSummary]:
    """The six requirements in their order; one without any blocking item is never a go."""
    return [
        _station(requirement, [each for each in items if each.item.requirement == requirement])
        for requirement in Requirement
    ]


def _station(requirement: Requirement, items: Sequence[ItemStatus]) -> StationSummary:
    blocking = [status for status in items if status.item.blocking]
    open_items = [status for status in blocking if not status.green]
    done, total = len(blocking) - len(open_items), len(blocking)
    if not blocking:
        return StationSummary(requirement, GateVerdict.HOLD.value, 0, 0, "Nothing is asked here, so nothing is known.")
    if not open_items:
        waived = sum(status.state == ItemState.WAIVED for status in blocking)
        text = f"All answered, {waived} of them waived." if waived else "All answered by evidence."
        return StationSummary(requirement, GateVerdict.GO.value, done, total, text)
    refused = [status for status in open_items if status.refused and not status.running]
    running = [status for status in open_items if status.running]
    first = (refused or running or open_items)[0]
    verdict = GateVerdict.NO_GO.value if refused else RUNNING if running else GateVerdict.HOLD.value
    more = f" And {len(open_items) - 1} more." if len(open_items) > 1 else ""
    return StationSummary(requirement, verdict, done, total, f"{first.item.title}: {first.reason}{more}")
