"""What the pages of the domain read; each function takes a fixed number of queries."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any

from django.db.models import Count, Q, QuerySet
from django.http import QueryDict
from django.urls import reverse
from django.utils import timezone

from releases.domain.gate import Gate, evaluate_many
from releases.domain.poll import Counting
from releases.enums import EvidenceSource, ReleaseState, Role
from releases.models import (
    Application,
    BreakGlass,
    ChangeFreeze,
    ChecklistItem,
    Evidence,
    LedgerEntry,
    Release,
    Risk,
    RiskAssessment,
    User,
    Waiver,
)
from releases.permissions import visible_releases
from releases.queries import plain_rows
from releases.telling import told

UNDER_WAY = (
    ReleaseState.DRAFT,
    ReleaseState.REHEARSING,
    ReleaseState.APPROVED,
    ReleaseState.DEPLOYING,
    ReleaseState.WATCHING,
    ReleaseState.FAILED,
    ReleaseState.UNKNOWN,
)
SORTS = {"name": "version", "window": "window_opens"}


def now() -> datetime:
    return timezone.now()


@dataclass(frozen=True)
class ReleaseFilters:
    """What the list of releases was asked for."""

    text: str = ""
    state: str = ""
    sort: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> "ReleaseFilters":
        sort = query.get("sort", "")
        return cls(
            text=query.get("q", "").strip()[:200],
            state=query.get("state", "")[:20],
            sort=sort if sort.lstrip("-") in SORTS else "",
        )


def _found(user: User, filters: ReleaseFilters) -> QuerySet[Release]:
    releases = visible_releases(user).defer("plan_version__text")
    for word in filters.text.split()[:10]:
        releases = releases.filter(
            Q(application__name__icontains=word)
            | Q(application__slug__icontains=word)
            | Q(version__icontains=word)
            | Q(requester__name__icontains=word)
        )
    return releases


def _groups(user: User) -> dict[str, Q]:
    mine = Q(requester=user) | Q(votes__voter=user)
    return {
        "under_way": Q(state__in=UNDER_WAY),
        "mine": Q(pk__in=Release.objects.filter(mine).values("pk")),
        "live": Q(state=ReleaseState.LIVE),
        "rolled_back": Q(state=ReleaseState.ROLLED_BACK),
    }


def release_list(user: User, filters: ReleaseFilters) -> QuerySet[Release]:
    """Under way first, the nearest window on top; then the newest."""
    releases = _found(user, filters)
    if filters.state in _groups(user):
        releases = releases.filter(_groups(user)[filters.state])
    if filters.sort:
        direction = "-" if filters.sort.startswith("-") else ""
        return releases.order_by(direction + SORTS[filters.sort.lstrip("-")], "-created_at")
    return releases.annotate(over=~Q(state__in=UNDER_WAY)).order_by("over", "-created_at")


def state_counts(user: User, filters: ReleaseFilters) -> dict[str, int]:
    groups = {name: Count("pk", filter=condition) for name, condition in _groups(user).items()}
    return _found(user, filters).aggregate(**groups)


def under_way(releases: QuerySet[Release]) -> QuerySet[Release]:
    return releases.filter(state__in=UNDER_WAY)


def may_create(user: User) -> bool:
    return user.memberships.filter(role__in=[Role.ENGINEER, Role.RELEASE_MANAGER]).exists()


def may_freeze(user: User) -> bool:
    return user.memberships.filter(role__in=[Role.RELEASE_MANAGER, Role.ADMINISTRATOR]).exists()


def newer_plan(release: Release) -> int | None:
    """The number of the newest plan, where it was published after the release was made."""
    ((newest,),) = plain_rows(
        "SELECT max(number) FROM releases_planversion WHERE application_id = %s", release.application_id
    )
    return newest if newest > release.plan_version.number else None


@dataclass(frozen=True)
class HistoryRow:
    """One ledger entry in words."""

    at: datetime
    text: str
    actor_name: str
    url: str
    by_a_person: bool


def history(release: Release, most: int = 8) -> list[HistoryRow]:
    """The newest entries about a release; one query. That a run became evidence is told by its end."""
    entries = LedgerEntry.objects.raw(
        "SELECT id, sequence, at, actor_id, actor_name, action, document FROM releases_ledgerentry"
        " WHERE release_id = %s AND sequence IS NOT NULL"
        " AND NOT (action = 'evidence.recorded' AND document ->> 'source' = %s) ORDER BY sequence DESC LIMIT %s",
        [release.pk, EvidenceSource.RUN.value, most],
    )
    return [_history_row(entry) for entry in entries]


def history_of(items: Sequence[ChecklistItem], release: Release, most: int = 8) -> list[HistoryRow]:
    """The newest entries about some items of a release; one query."""
    about = Q()
    for item in items:
        about |= Q(document__item=item.key)
        if item.section:
            about |= Q(document__section=item.section)
    entries = LedgerEntry.objects.filter(about, release_id=release.pk, sequence__isnull=False).exclude(
        action="evidence.recorded", document__source=EvidenceSource.RUN
    )
    told_of = entries.only("sequence", "at", "action", "actor", "actor_name", "document")
    return [_history_row(entry) for entry in told_of.order_by("-sequence")[:most]]


def _history_row(entry: LedgerEntry) -> HistoryRow:
    name = entry.actor_name.partition(" <")[0]
    url = reverse("releases:ledger_entry", args=[entry.sequence])
    return HistoryRow(entry.at, told(entry.action, entry.document), name, url, entry.actor_id is not None)


def evidence_for(item: ChecklistItem, most: int = 50) -> list[Evidence]:
    """Everything that was ever recorded for an item, newest first."""
    if item.section:
        found = Evidence.objects.filter(release=item.release, section=item.section)
        found = found.filter(environment=item.environment) if item.environment_id else found
    elif item.receipt:
        found = Evidence.objects.filter(release=item.release, kind=item.receipt)
    else:
        found = Evidence.objects.filter(item=item)
    return list(found.select_related("author", "environment").order_by("-recorded_at")[:most])


def waivers_of(item: ChecklistItem) -> list[Waiver]:
    return list(item.waivers.select_related("requested_by", "approved_by", "revoked_by"))


def assessments_of(risk: Risk) -> list[RiskAssessment]:
    return list(risk.assessments.select_related("author", "confirmed_by"))


@dataclass(frozen=True)
class AgendaEntry:
    """A window or a freeze."""

    opens: datetime
    closes: datetime
    title: str
    url: str = ""
    freeze: bool = False
    freeze_id: int | None = None
    state: str = ""


@dataclass(frozen=True)
class Agenda:
    entries: list[AgendaEntry] = field(default_factory=list)

    @property
    def next(self) -> AgendaEntry | None:
        soon = timezone.now()
        return next((entry for entry in self.entries if not entry.freeze and entry.opens > soon), None)


def agenda(applications: QuerySet[Application], days: int = 7) -> Agenda:
    """Windows and freezes of the next days, in order; two queries."""
    start = timezone.now()
    end = start + timedelta(days=days)
    releases = Release.objects.filter(
        application__in=applications, window_closes__gt=start, window_opens__lt=end, state__in=UNDER_WAY
    ).select_related("application")
    freezes = ChangeFreeze.objects.filter(
        Q(application__in=applications) | Q(application__isnull=True), closes__gt=start, opens__lt=end, lifted_at=None
    ).select_related("application")
    entries = [_window_entry(release) for release in releases] + [_freeze_entry(freeze) for freeze in freezes]
    return Agenda(sorted(entries, key=lambda entry: entry.opens))


def _window_entry(release: Release) -> AgendaEntry:
    assert release.window_opens is not None
    assert release.window_closes is not None
    url = reverse("releases:release", args=[release.pk])
    return AgendaEntry(release.window_opens, release.window_closes, str(release), url, state=release.state)


def _freeze_entry(freeze: ChangeFreeze) -> AgendaEntry:
    title = f"{freeze.application or 'All applications'}: {freeze.reason}"
    return AgendaEntry(freeze.opens, freeze.closes, title, freeze=True, freeze_id=freeze.pk)


def week(applications: QuerySet[Application]) -> list[dict[str, Any]]:
    """Seven days from today in the viewer's zone, each with what touches it."""
    entries = agenda(applications).entries
    today = timezone.localdate()
    days = [today + timedelta(days=offset) for offset in range(7)]
    return [{"date": day, "entries": [entry for entry in entries if _touches(entry, day)]} for day in days]


def _touches(entry: AgendaEntry, day: date) -> bool:
    return timezone.localdate(entry.opens) <= day <= timezone.localdate(entry.closes)


def past_windows(applications: QuerySet[Application], most: int = 20) -> list[Release]:
    found = Release.objects.filter(application__in=applications, live_at__isnull=False).select_related("application")
    return list(found.order_by("-live_at")[:most])


@dataclass(frozen=True)
class Task:
    """Something that waits for one person."""

    deed: str
    about: str
    detail: str
    url: str
    button: str


def waiting_for(user: User) -> list[Task]:
    """Votes to cast, waivers, assessments and break-glass to confirm, and deploys to decide about."""
    memberships = list(user.memberships.all())
    tasks = _votes_to_cast(user, {(each.application_id, each.station) for each in memberships if each.station})
    deciders = [each.application_id for each in memberships if each.role in (Role.APPROVER, Role.RELEASE_MANAGER)]
    managed = [each.application_id for each in memberships if each.role == Role.RELEASE_MANAGER]
    return [*tasks, *_second_signatures(user, deciders), *_decisions(managed)]


def _votes_to_cast(user: User, stations: set[tuple[int, str]]) -> list[Task]:
    applications = {application for application, _ in stations}
    if not applications:
        return []
    polls = list(
        visible_releases(user).filter(
            application__in=applications,
            poll_opened_at__isnull=False,
            state__in=[ReleaseState.REHEARSING, ReleaseState.APPROVED, ReleaseState.FAILED],
        ).exclude(requester=user)[:50]
    )  # fmt: skip
    tasks = []
    for release, gate in ((release, gate) for release, gate in zip(polls, _gates(polls), strict=True)):
        for station in gate.poll:
            if (release.application_id, station.key) in stations and station.counting != Counting.COUNTED:
                detail = "the evidence changed since the last vote" if station.vote else "the poll is open"
                url = reverse("releases:vote", args=[release.pk])
                tasks.append(Task("Vote", f"on {release} for {station.title.lower()}", detail, url, "Read and vote"))
    return tasks


def _gates(releases: list[Release]) -> list[Gate]:
    evaluated = evaluate_many(releases) if releases else {}
    return [evaluated[release.pk] for release in releases]


def _second_signatures(user: User, applications: list[int]) -> list[Task]:
    waivers = Waiver.objects.filter(
        item__release__application__in=applications, approved_at=None, revoked_at=None, expires_at__gt=timezone.now()
    ).exclude(requested_by=user).select_related("item__release__application")[:20]  # fmt: skip
    glasses = BreakGlass.objects.filter(
        release__application__in=applications, approved_at=None, expires_at__gt=timezone.now()
    ).exclude(requested_by=user).select_related("release__application")[:20]  # fmt: skip
    assessments = RiskAssessment.objects.filter(
        risk__release__application__in=applications, confirmed_at=None, risk__release__state__in=UNDER_WAY
    ).exclude(author=user).select_related("risk__release__application")[:20]  # fmt: skip
    return [
        *(
            Task("Agree", f"to a waiver: {each.item.title}", f"{each.item.release}: {each.reason[:120]}",
                 reverse("releases:item", args=[each.item.release_id, each.item.key]), "Decide")
            for each in waivers
        ),
        *(
            Task("Agree", f"to break-glass for {each.release}", each.reason[:120],
                 reverse("releases:break_glass", args=[each.release_id]), "Read and decide")
            for each in glasses
        ),
        *(
            Task("Confirm", f"a risk: {each.risk.title}", f"{each.risk.release}: {each.likelihood} × {each.impact}",
                 reverse("releases:risk", args=[each.risk.release_id, each.risk.key]), "Decide")
            for each in assessments
        ),
    ]  # fmt: skip


def _decisions(applications: list[int]) -> list[Task]:
    stuck = Release.objects.filter(
        application__in=applications, state__in=[ReleaseState.UNKNOWN, ReleaseState.FAILED]
    ).select_related("application")[:20]
    return [
        Task("Decide", f"how to go on with {release}",
             f"{release.get_state_display().lower()}, nothing happens by itself",
             reverse("releases:release", args=[release.pk]), "Look")
        for release in stuck
    ]  # fmt: skip


def changes_since(release: Release, voter: User, manifest: dict[str, Any]) -> list[dict[str, str]]:
    """What changed since this person's last vote: items and risks of the manifest, each better, worse or new."""
    last = release.votes.filter(voter=voter).select_related("manifest").order_by("-cast_at").first()
    if last is None or last.manifest.document == manifest:
        return []
    before, changes = last.manifest.document, []
    for name, word in (("build", "Build"), ("plan", "Plan"), ("window", "Window")):
        if before.get(name) != manifest.get(name):
            changes.append({"look": "changed", "text": f"{word} is another one."})
    if before.get("poll_round") != manifest.get("poll_round"):
        changes.append({"look": "changed", "text": "It was rolled back, so everybody votes anew."})
    old_items = {entry["key"]: entry for entry in before.get("items", [])}
    for entry in manifest.get("items", []):
        change = _item_change(old_items.get(entry["key"]), entry)
        changes += [change] if change else []
    old_risks = {entry["key"]: entry for entry in before.get("risks", [])}
    for entry in manifest.get("risks", []):
        old = old_risks.get(entry["key"])
        if old and (old["likelihood"], old["impact"]) != (entry["likelihood"], entry["impact"]):
            look = "worse" if entry["likelihood"] * entry["impact"] > old["likelihood"] * old["impact"] else "better"
            moved = f"from {old['likelihood']} × {old['impact']} to {entry['likelihood']} × {entry['impact']}"
            changes.append({"look": look, "text": f"{entry['title']}: {moved}"})
    return changes


def _item_change(old: dict[str, Any] | None, new: dict[str, Any]) -> dict[str, str] | None:
    if old is None:
        return {"look": "new", "text": new["title"]}
    if old == new:
        return None
    if new.get("waiver") and not old.get("waiver"):
        return {"look": "new", "text": f"{new['title']}: waived, {new['waiver']['reason']}"}
    verdicts = [(entry.get("evidence") or {}).get("verdict", "") for entry in (old, new)]
    look = "changed" if verdicts[0] == verdicts[1] else "better" if verdicts[1] == "passed" else "worse"
    found = (new.get("evidence") or {}).get("summary", "no evidence any more")
    return {"look": look, "text": f"{new['title']}: {found}"}
