"""The state of checklist items, computed from evidence and waivers and never stored.

The newest evidence decides: a pass of yesterday does not outweigh a failure of today. An item is green only while
that evidence passed, is about this build and this plan section, and stays valid to the end of the window.
"""

from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db.models import Model

from releases import queries
from releases.domain.wording import moment, span
from releases.enums import EvidenceSource, EvidenceVerdict, ItemState
from releases.models import ChecklistItem, Environment, Evidence, Release, Waiver

#: The item that the cases of the plan's section answer, where it has such a section; otherwise people sign it.
ACCEPTANCE_ITEM: Final = "testing.acceptance"
ACCEPTANCE_SECTION: Final = "acceptance"
GREEN: Final = frozenset({ItemState.PASSED, ItemState.WAIVED})


@dataclass(frozen=True)
class Activity:
    """A run that concerns a release now: one of its own under way, or one that changes its target.

    ``state`` in words; ``changing``: it changes its environment, as a deploy does; ``lost``: nobody knows what it did.
    """

    run_id: UUID
    number: int
    kind: str
    section: str
    environment_id: int
    state: str
    own: bool = True
    changing: bool = False
    lost: bool = False


ActivitySource = Callable[[Sequence[Release]], Mapping[UUID, Iterable[Activity]]]
_activities: list[ActivitySource] = []


def register_activity(source: ActivitySource) -> None:
    """Let another app tell what runs now: releases -> release id -> activities, in a fixed number of queries."""
    if source not in _activities:
        _activities.append(source)


@dataclass(frozen=True)
class ItemStatus:
    """One item as it stands. ``valid_until`` None with green evidence: for this release."""

    item: ChecklistItem
    state: ItemState
    reason: str
    evidence: Evidence | None = None
    waiver: Waiver | None = None
    valid_until: datetime | None = None
    running: bool = False

    @property
    def green(self) -> bool:
        return self.state in GREEN

    @property
    def proven(self) -> bool:
        """Answered by evidence. A waiver lets a release pass, but proves nothing."""
        return self.state == ItemState.PASSED

    @property
    def refused(self) -> bool:
        """The newest answer about this build and plan is a plain no."""
        return self.state == ItemState.FAILED or (
            self.running and self.evidence is not None and self.evidence.verdict == EvidenceVerdict.FAILED
        )


@dataclass
class ItemFacts:
    """What the computation needs, for any number of releases, in three queries (one more where something is waived, and
    one for each source of activities)."""

    items: dict[UUID, list[ChecklistItem]] = field(default_factory=lambda: defaultdict(list))
    evidence: dict[UUID, list[Evidence]] = field(default_factory=lambda: defaultdict(list))
    waivers: dict[int, list[Waiver]] = field(default_factory=lambda: defaultdict(list))
    #: (application, person) who may sign a waiver now; asked only where there are waivers.
    signers: set[tuple[int, int]] = field(default_factory=set)
    active: dict[UUID, list[Activity]] = field(default_factory=lambda: defaultdict(list))

    def people(self) -> Iterable[tuple[Model, str]]:
        """Where somebody is named; ``releases.queries.name_people`` loads them."""
        for answers in self.evidence.values():
            yield from ((each, "author") for each in answers)
        for waivers in self.waivers.values():
            yield from ((each, who) for each in waivers for who in ("requested_by", "approved_by", "revoked_by"))


def load_items(releases: Sequence[Release]) -> ItemFacts:
    """Read items, the newest evidence of each section, receipt and sign-off, waivers, and what runs now.

    People are not loaded yet.
    """
    facts = ItemFacts()
    items = queries.items(releases)
    _place(items, releases)
    for item in items:
        facts.items[item.release_id].append(item)
    for evidence in queries.newest_evidence(releases):
        facts.evidence[evidence.release_id].append(evidence)
    for waiver in queries.waivers(releases):
        facts.waivers[waiver.item_id].append(waiver)
    if facts.waivers:
        facts.signers = set(queries.waiver_signers(releases))
    for source in _activities:
        for release_id, running in source(releases).items():
            facts.active[release_id] += running
    return facts


def _place(items: Iterable[ChecklistItem], releases: Sequence[Release]) -> None:
    """Give items their environments: nearly always one of the release's two, which are loaded; no wide row for each."""
    known = {place.pk: place for each in releases for place in (each.source_environment, each.target_environment)}
    elsewhere = {item.environment_id for item in items if item.environment_id} - known.keys()
    if elsewhere:
        known |= Environment.objects.in_bulk(elsewhere)
    for item in items:
        item.environment = known[item.environment_id] if item.environment_id else None


def item_statuses(release: Release, at: datetime) -> list[ItemStatus]:
    """All items of the release as they stand at ``at``, in a fixed number of queries."""
    facts = load_items([release])
    queries.name_people(facts.people())
    return compute_items(release, facts, at)


def compute_items(release: Release, facts: ItemFacts, at: datetime) -> list[ItemStatus]:
    return [_status(release, item, facts, at) for item in facts.items.get(release.pk, [])]


def judged_at(release: Release, at: datetime) -> datetime:
    """The moment up to which evidence must hold: the window's end, or now where there is none or it has passed."""
    return max(release.window_closes, at) if release.window_closes else at


def counting_waiver(waivers: Iterable[Waiver], until: datetime, signers: Container[int]) -> Waiver | None:
    """The newest waiver that two people signed who may still do so, nobody revoked, and that lasts to ``until``."""
    for waiver in waivers:
        signed = bool(waiver.approved_at) and waiver.requested_by_id in signers and waiver.approved_by_id in signers
        if signed and not waiver.revoked_at and waiver.expires_at >= until:
            return waiver
    return None


def _status(release: Release, item: ChecklistItem, facts: ItemFacts, at: datetime) -> ItemStatus:
    evidence = newest_for(item, facts.evidence.get(release.pk, []))
    state, reason, valid_until = _judge(release, item, evidence, at)
    signers = {person for place, person in facts.signers if place == release.application_id}
    waiver = counting_waiver(facts.waivers.get(item.pk, []), judged_at(release, at), signers)
    running = bool(item.section) and any(
        activity.own and (activity.section, activity.environment_id) == (item.section, item.environment_id)
        for activity in facts.active.get(release.pk, [])
    )
    if state != ItemState.PASSED and waiver is not None:
        state = ItemState.WAIVED
        reason = f"Waived until {moment(waiver.expires_at)}: {waiver.reason}"
    elif state != ItemState.PASSED and running:
        state, reason = ItemState.RUNNING, f"Running now. Before that: {reason}"
    return ItemStatus(item, state, reason, evidence, waiver, valid_until, running)


def newest_for(item: ChecklistItem, evidence: Iterable[Evidence]) -> Evidence | None:
    """The newest piece of evidence that speaks about this item."""
    about = [each for each in evidence if _speaks_about(each, item)]
    return max(about, key=lambda each: each.recorded_at, default=None)


def _speaks_about(evidence: Evidence, item: ChecklistItem) -> bool:
    if item.section:
        same_place = item.environment_id is None or evidence.environment_id == item.environment_id
        return evidence.source == EvidenceSource.RUN and evidence.section == item.section and same_place
    if item.receipt:
        return evidence.source == EvidenceSource.RECEIPT and evidence.kind == item.receipt
    return evidence.source == EvidenceSource.SIGN_OFF and evidence.item_id == item.pk


def _judge(
    release: Release, item: ChecklistItem, evidence: Evidence | None, at: datetime
) -> tuple[ItemState, str, datetime | None]:
    if evidence is None:
        return ItemState.OPEN, _how_to_answer(release, item), None
    if evidence.build_digest != release.build_digest:
        return ItemState.OTHER_BUILD, f"The newest answer is about another build. {_how_to_answer(release, item)}", None
    if not _same_section(release, item, evidence):
        text = "The newest answer was given under another plan, or with parameters that are not the plan's."
        return ItemState.OTHER_PLAN, f"{text} {_how_to_answer(release, item)}", None
    if evidence.verdict == EvidenceVerdict.FAILED:
        return ItemState.FAILED, evidence.summary, None
    if evidence.verdict != EvidenceVerdict.PASSED:
        return ItemState.ERRORED, f"No answer: {evidence.summary}", None
    if item.attested and not is_attested(evidence):
        return ItemState.OPEN, "It was signed without evidence or without an end, and needs both. Sign it anew.", None
    return _judge_time(release, item, evidence, at)


def is_attested(evidence: Evidence) -> bool:
    """Whether a signature brings evidence, a file or a link, and says until when it holds."""
    return bool(evidence.artifacts or evidence.link) and evidence.valid_until is not None


def _same_section(release: Release, item: ChecklistItem, evidence: Evidence) -> bool:
    section = item.section or evidence.section or (ACCEPTANCE_SECTION if has_cases(release, item) else "")
    return not section or evidence.section_digest == release.plan_version.sections.get(section)


def has_cases(release: Release, item: ChecklistItem) -> bool:
    """Whether the item is answered by walking the cases of the release's plan, and not by a plain signature."""
    return item.key == ACCEPTANCE_ITEM and ACCEPTANCE_SECTION in release.plan_version.sections


def _judge_time(
    release: Release, item: ChecklistItem, evidence: Evidence, at: datetime
) -> tuple[ItemState, str, datetime | None]:
    ends = [evidence.valid_until] if evidence.valid_until else []
    if item.valid_for is not None:
        ends.append(evidence.recorded_at + item.valid_for)
    if not ends:
        return ItemState.PASSED, evidence.summary, None
    end, needed = min(ends), judged_at(release, at)
    if end < at:
        return ItemState.EXPIRED, f"The evidence expired {moment(end)}, {span(at - end)} ago.", end
    if end < needed:
        text = f"The evidence expires {moment(end)}, {span(needed - end)} before the window ends."
        return ItemState.EXPIRING, text, end
    return ItemState.PASSED, evidence.summary, end


def _how_to_answer(release: Release, item: ChecklistItem) -> str:
    if has_cases(release, item):
        return "Not all of the plan's acceptance cases were walked."
    if item.section:
        where = f" in {item.environment.name}" if item.environment else ""
        return f"Run {item.section.removeprefix('checks.')}{where}."
    if item.receipt:
        return f"Waits for the receipt of a {item.receipt.replace('-', ' ')}."
    return "Nobody has signed this yet."
