"""What the pages of people read; each function takes a fixed number of queries."""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from allauth.mfa.models import Authenticator
from django.db.models import Count, Exists, F, OuterRef, Prefetch, Q, QuerySet
from django.http import HttpRequest, QueryDict, StreamingHttpResponse
from django.urls import reverse

from releases.domain.ledger import history
from releases.enums import Role
from releases.models import Application, LedgerEntry, Membership, User
from releases.page_queries import HistoryRow
from releases.permissions import administered_applications, keeps_installation, visible_people
from releases.telling import told
from releases.views.streaming import stream

SORTS: Final = {"name": "name", "last": "last_login"}
_INVITED: Final = Q(is_active=True, invited_at__isnull=False, last_login__isnull=True)
#: What ?state= may be.
GROUPS: Final[dict[str, Q]] = {
    "active": Q(is_active=True) & ~_INVITED,
    "invited": _INVITED,
    "inactive": Q(is_active=False),
    "one_factor": Q(is_active=True, second_factor=False),
    "no_role": Q(has_role=False),
}


@dataclass(frozen=True)
class PeopleFilters:
    """What the list of people was asked for."""

    text: str = ""
    application: str = ""
    role: str = ""
    state: str = ""
    sort: str = ""

    @classmethod
    def read(cls, query: QueryDict) -> "PeopleFilters":
        sort, role, state = query.get("sort", ""), query.get("role", ""), query.get("state", "")
        return cls(
            text=query.get("q", "").strip()[:200],
            application=query.get("application", "")[:60],
            role=role if role in Role.values else "",
            state=state if state in GROUPS else "",
            sort=sort if sort.removeprefix("-") in SORTS else "",
        )


def manageable_applications(user: User) -> QuerySet[Application]:
    """Where this person may name people: what they administer; a keeper of the installation, everywhere."""
    return Application.objects.all() if keeps_installation(user) else administered_applications(user)


def described(viewer: User) -> QuerySet[User]:
    """The people that ``viewer`` may see, each with ``second_factor``, ``has_role`` and ``shown_roles``.

    ``shown_roles``: memberships with their application, of the applications whose people are the viewer's concern.
    """
    factors = Authenticator.objects.filter(
        user=OuterRef("pk"), type__in=[Authenticator.Type.TOTP, Authenticator.Type.WEBAUTHN]
    )
    roles = Membership.objects.filter(application__in=manageable_applications(viewer)).select_related("application")
    return (
        visible_people(viewer)
        .annotate(
            second_factor=Exists(factors),
            has_role=Exists(Membership.objects.filter(user=OuterRef("pk"))),
        )
        .prefetch_related(
            Prefetch("memberships", roles.order_by("application__name", "role", "station"), to_attr="shown_roles")
        )
    )


def _found(viewer: User, filters: PeopleFilters) -> QuerySet[User]:
    people = described(viewer)
    for word in filters.text.split()[:10]:
        people = people.filter(Q(name__icontains=word) | Q(email__icontains=word))
    if filters.application or filters.role:
        held = Membership.objects.filter(user=OuterRef("pk"), application__in=manageable_applications(viewer))
        held = held.filter(application__slug=filters.application) if filters.application else held
        held = held.filter(role=filters.role) if filters.role else held
        people = people.filter(Exists(held))
    return people


def people_list(viewer: User, filters: PeopleFilters) -> QuerySet[User]:
    """By name, unless asked otherwise; who never logged in comes last."""
    people = _found(viewer, filters)
    if filters.state:
        people = people.filter(GROUPS[filters.state])
    field = F(SORTS[filters.sort.removeprefix("-") or "name"])
    order = field.desc(nulls_last=True) if filters.sort.startswith("-") else field.asc(nulls_last=True)
    return people.order_by(order, "email")


def group_counts(viewer: User, filters: PeopleFilters) -> dict[str, int]:
    groups = {name: Count("pk", filter=condition) for name, condition in GROUPS.items()}
    return _found(viewer, filters).aggregate(**groups)


def account_state(user: User) -> str:
    """active, invited or inactive."""
    if not user.is_active:
        return "inactive"
    return "invited" if user.waits_to_accept else "active"


def history_of_person(viewer: User, user: User, most: int = 20) -> list[HistoryRow]:
    """The newest entries about an account and its roles, as far as the viewer reads the ledger."""
    about = Q(subject_type="user", subject_id=str(user.pk)) | Q(
        subject_type="membership", action__startswith="member.", document__user=user.pk
    )
    return _told(viewer, about, most)


def history_of_application(viewer: User, application: Application, most: int = 12) -> list[HistoryRow]:
    """The newest entries about an application itself: its plan, its people, its environments; not its releases."""
    return _told(
        viewer, Q(application_id=application.pk, release_id__isnull=True) & ~Q(action__startswith="run."), most
    )


def _told(viewer: User, about: Q, most: int) -> list[HistoryRow]:
    entries = history.scope_of(viewer).restrict(LedgerEntry.objects.filter(about, sequence__isnull=False))
    return [
        HistoryRow(
            entry.at,
            told(entry.action, entry.document),
            entry.actor_name.partition(" <")[0],
            reverse("releases:ledger_entry", args=[entry.sequence]),
            entry.actor_id is not None,
        )
        for entry in entries.order_by("-sequence")[:most]
    ]


_COLUMNS: Final = ("name", "email", "state", "roles", "second_factor", "last_login", "id")


def export_people(request: HttpRequest, people: QuerySet[User], form: str) -> StreamingHttpResponse:
    """The filtered list as CSV or JSON, streamed. ``form``: csv or json."""
    kind = "text/csv" if form == "csv" else "application/json"
    content = _as_csv(people) if form == "csv" else _as_json(people)
    return stream(request, (part.encode() for part in content), f"{kind}; charset=utf-8", f"people.{form}")


def _rows(people: QuerySet[User]) -> Iterator[dict[str, Any]]:
    for user in people.iterator(chunk_size=500):
        yield {
            "name": user.name,
            "email": user.email,
            "state": account_state(user),
            "roles": [_role_text(held) for held in getattr(user, "shown_roles", [])],
            "second_factor": bool(getattr(user, "second_factor", False)),
            "last_login": user.last_login.isoformat() if user.last_login else None,
            "id": user.pk,
        }


def _role_text(held: Membership) -> str:
    return f"{held.application.slug}:{held.role}" + (f":{held.station}" if held.station else "")


class _Echo:
    def write(self, value: str) -> str:
        return value


def _as_csv(people: QuerySet[User]) -> Iterator[str]:
    writer = csv.DictWriter(_Echo(), _COLUMNS)
    yield str(writer.writeheader())
    for row in _rows(people):
        cells = {**row, "roles": " ".join(row["roles"]), "last_login": row["last_login"] or ""}
        # A cell that begins like a formula is run by spreadsheets; the quote keeps it text.
        yield str(
            writer.writerow(
                {name: f"'{cell}" if str(cell)[:1] in tuple("=+-@\t\r") else cell for name, cell in cells.items()}
            )
        )


def _as_json(people: QuerySet[User]) -> Iterator[str]:
    yield "[\n"
    for index, row in enumerate(_rows(people)):
        yield ("," if index else "") + json.dumps(row, ensure_ascii=False) + "\n"
    yield "]\n"
