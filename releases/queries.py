"""A release, and the rows that its gate rests on: one statement for each table.

They are written in SQL because every board, every list and every ring asks all of them, and Django takes several times
as long to write such a statement as PostgreSQL to answer it (docs/decisions/gate-asks-in-sql.md). A test holds each
against the same question asked by Django.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, TypeVar
from uuid import UUID

from django.db import connection
from django.db.models import Model

from releases.enums import WAIVER_SIGNERS, Role
from releases.models import (
    Application,
    BreakGlass,
    ChangeFreeze,
    ChecklistItem,
    Environment,
    Evidence,
    PlanVersion,
    Release,
    Risk,
    RiskAssessment,
    User,
    Vote,
    Waiver,
)

_Row = TypeVar("_Row", bound=Model)


def release_seen_by(person: int, release_id: UUID) -> Release | None:
    """The release with application, plan, environments and requester, if this person has a role in its application.

    One statement for each table: planning one join of all seven takes PostgreSQL longer than these five.
    """
    seen = (
        "WHERE t.id = %s AND EXISTS"
        " (SELECT FROM releases_membership m WHERE m.user_id = %s AND m.application_id = t.application_id)"
    )
    release = next(iter(_read(Release, seen, release_id, person)), None)
    if release is None:
        return None
    (release.application,) = _read(Application, "WHERE t.id = %s", release.application_id)
    # The text of a plan is long, and shown on one page only.
    (release.plan_version,) = PlanVersion.objects.raw(
        "SELECT id, application_id, number, document, digest, sections, author_id, created_at"
        " FROM releases_planversion WHERE id = %s",
        [release.plan_version_id],
    )
    both = [release.source_environment_id, release.target_environment_id]
    places = {environment.pk: environment for environment in _read(Environment, "WHERE t.id = ANY(%s)", both)}
    release.source_environment, release.target_environment = (places[place] for place in both)
    release.plan_version.application = release.application
    for place in places.values():
        place.application = release.application
    name_people([(release, "requester")])
    return release


def items(releases: Sequence[Release]) -> list[ChecklistItem]:
    """Each checklist item, in the order of its list."""
    return _read(ChecklistItem, "WHERE t.release_id = ANY(%s) ORDER BY t.position", _ids(releases))


def newest_evidence(releases: Sequence[Release]) -> list[Evidence]:
    """The newest evidence of each section and environment, each receipt and each signed item."""
    one_of = "t.release_id, t.source, t.section, t.kind, t.environment_id, t.item_id"
    newest = f"WHERE t.release_id = ANY(%s) ORDER BY {one_of}, t.recorded_at DESC"
    return _read(Evidence, newest, _ids(releases), distinct=f"DISTINCT ON ({one_of})")


def waivers(releases: Sequence[Release]) -> list[Waiver]:
    """Every waiver, the newest first."""
    of_items = "JOIN releases_checklistitem i ON i.id = t.item_id WHERE i.release_id = ANY(%s)"
    return _read(Waiver, f"{of_items} ORDER BY t.requested_at DESC", _ids(releases))


def risks(releases: Sequence[Release]) -> list[Risk]:
    """Each risk, in the order of its register."""
    return _read(Risk, "WHERE t.release_id = ANY(%s) ORDER BY t.position", _ids(releases))


def assessments(releases: Sequence[Release]) -> list[RiskAssessment]:
    """Every assessment of a risk, the newest first."""
    of_risks = "JOIN releases_risk r ON r.id = t.risk_id WHERE r.release_id = ANY(%s)"
    return _read(RiskAssessment, f"{of_risks} ORDER BY t.created_at DESC", _ids(releases))


def votes(releases: Sequence[Release]) -> list[Vote]:
    """The votes that nobody withdrew, the newest first."""
    standing = "WHERE t.release_id = ANY(%s) AND t.withdrawn_at IS NULL ORDER BY t.cast_at DESC"
    return _read(Vote, standing, _ids(releases))


def break_glass(releases: Sequence[Release]) -> list[BreakGlass]:
    """Every request to go around the gate, the newest first."""
    return _read(BreakGlass, "WHERE t.release_id = ANY(%s) ORDER BY t.requested_at DESC", _ids(releases))


def freezes(releases: Sequence[Release]) -> list[ChangeFreeze]:
    """The change freezes that stand for these applications or for all, the first to begin first."""
    standing = "WHERE (t.application_id IS NULL OR t.application_id = ANY(%s)) AND t.lifted_at IS NULL ORDER BY t.opens"
    return _read(ChangeFreeze, standing, [release.application_id for release in releases])


def speakers(releases: Sequence[Release]) -> list[tuple[int, int, str]]:
    """(application, person, station) of everybody active who may vote now."""
    return plain_rows(
        "SELECT m.application_id, m.user_id, m.station FROM releases_membership m JOIN releases_user u"
        " ON u.id = m.user_id WHERE m.application_id = ANY(%s) AND m.role = %s AND u.is_active",
        [release.application_id for release in releases],
        Role.APPROVER.value,
    )


def waiver_signers(releases: Sequence[Release]) -> list[tuple[int, int]]:
    """(application, person) of everybody active who may ask for a waiver or agree to one now."""
    return plain_rows(
        "SELECT m.application_id, m.user_id FROM releases_membership m JOIN releases_user u"
        " ON u.id = m.user_id WHERE m.application_id = ANY(%s) AND m.role = ANY(%s) AND u.is_active",
        [release.application_id for release in releases],
        [role.value for role in WAIVER_SIGNERS],
    )


def name_people(places: Iterable[tuple[Model, str]]) -> None:
    """Load what these fields of these rows name a person by; one query, and none where they name nobody."""
    wanted: dict[int, list[tuple[Model, str]]] = defaultdict(list)
    for row, field in places:
        person = getattr(row, f"{field}_id")
        if person is not None:
            wanted[person].append((row, field))
    if not wanted:
        return
    statement = "SELECT id, email, name, is_active FROM releases_user WHERE id = ANY(%s)"
    for user in User.objects.raw(statement, [list(wanted)]):
        for row, field in wanted[user.pk]:
            setattr(row, field, user)


def plain_rows(statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The plain rows of a statement."""
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows


def _read(model: type[_Row], rest: str, *parameters: Any, distinct: str = "") -> list[_Row]:
    """Whole rows as objects; the statement calls the model's table `t`."""
    return list(model._default_manager.raw(f"SELECT {distinct} {_columns(model)} {rest}", parameters))


@cache
def _columns(model: type[Model]) -> str:
    """The columns by name, and where they are from.

    PostgreSQL refuses a statement that it keeps prepared once `*` means other columns, and a new version of the program
    may add one while the old still answers.
    """
    columns = ", ".join(f't."{field.column}"' for field in model._meta.concrete_fields)
    return f'{columns} FROM "{model._meta.db_table}" t'


def _ids(releases: Sequence[Release]) -> list[UUID]:
    return [release.pk for release in releases]
