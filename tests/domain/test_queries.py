"""What is read by SQL of our own is what Django would have read."""

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from releases import queries
from releases.domain import break_glass, calendar, checklist, risk
from releases.enums import EvidenceVerdict, Role, Treatment
from releases.models import (
    Application,
    BreakGlass,
    ChangeFreeze,
    ChecklistItem,
    Environment,
    Evidence,
    Membership,
    Release,
    Risk,
    RiskAssessment,
    Vote,
    Waiver,
)
from releases.permissions import visible_releases
from tests.factories import Team, answer, make_application, make_approved, make_release, make_team, member

pytestmark = pytest.mark.django_db


@pytest.fixture
def application() -> Application:
    return make_application()


@pytest.fixture
def team(application: Application) -> Team:
    return make_team(application)


@pytest.fixture
def releases(application: Application, team: Team) -> list[Release]:
    """Two releases with everything that a gate rests on, and one more that nobody asks about."""
    made = [make_release(application=application, requester=team.manager) for _ in range(3)]
    for release in made:
        make_approved(release, team)
        item = release.items.filter(section="").earliest("position")
        answer(item, verdict=EvidenceVerdict.FAILED)
        waiver = checklist.request_waiver(
            item=item, requester=team.manager, reason="Later.", expires_at=timezone.now() + timedelta(days=1)
        )
        checklist.approve_waiver(waiver=waiver, approver=team.approvers["security"])
        assessed = risk.assess(
            risk=release.risks.earliest("position"), author=team.engineer, likelihood=1, impact=2,
            treatment=Treatment.MITIGATE, reason="Seen.",
        )  # fmt: skip
        risk.confirm_assessment(assessment=assessed, actor=team.approvers["security"])
        # The votes were about what stood before, so the gate is closed again.
        break_glass.request_break_glass(
            release=release, requester=team.manager, reason="It burns.",
            expires_at=timezone.now() + timedelta(hours=1),
        )  # fmt: skip
    opens = timezone.now() + timedelta(days=3)
    for concerned in (application, None):
        calendar.create_freeze(
            application=concerned,
            opens=opens,
            closes=opens + timedelta(hours=1),
            reason="Holiday.",
            actor=team.manager,
        )
    return made[:2]


def rows(found: Any) -> list[dict[str, Any]]:
    """Every column of every row; fails for a column that was not read."""
    loaded = list(found)
    assert not any(one.get_deferred_fields() for one in loaded)
    return [{field.attname: getattr(one, field.attname) for field in one._meta.concrete_fields} for one in loaded]


ASKED = {
    "items": lambda ids: ChecklistItem.objects.filter(release__in=ids).order_by("position", "pk"),
    "waivers": lambda ids: Waiver.objects.filter(item__release__in=ids).order_by("-requested_at"),
    "risks": lambda ids: Risk.objects.filter(release__in=ids),
    "assessments": lambda ids: RiskAssessment.objects.filter(risk__release__in=ids).order_by("-created_at"),
    "votes": lambda ids: Vote.objects.filter(release__in=ids, withdrawn_at__isnull=True).order_by("-cast_at"),
    "break_glass": lambda ids: BreakGlass.objects.filter(release__in=ids).order_by("-requested_at"),
    "freezes": lambda ids: ChangeFreeze.objects.filter(lifted_at__isnull=True).order_by("opens"),
    "newest_evidence": lambda ids: Evidence.objects.filter(release__in=ids)
    .order_by("release_id", "source", "section", "kind", "environment_id", "item_id", "-recorded_at")
    .distinct("release_id", "source", "section", "kind", "environment_id", "item_id"),
}  # fmt: skip


@pytest.mark.parametrize("name", ASKED)
def test_each_statement_reads_what_django_reads(releases: list[Release], name: str) -> None:
    def sorted_rows(found: Any) -> list[dict[str, Any]]:
        return sorted(rows(found), key=lambda row: str(row["id"]))

    expected = ASKED[name]([release.pk for release in releases])
    assert sorted_rows(getattr(queries, name)(releases)) == sorted_rows(expected)
    assert rows(expected)


@pytest.mark.parametrize("name", ["waivers", "assessments", "votes", "newest_evidence"])
def test_the_order_is_the_one_that_is_promised(releases: list[Release], name: str) -> None:
    moments = {"waivers": "requested_at", "assessments": "created_at", "votes": "cast_at"}
    found = getattr(queries, name)(releases)
    if name in moments:
        told = [getattr(one, moments[name]) for one in found]
        assert told == sorted(told, reverse=True)
    else:
        keys = [(one.release_id, one.source, one.section, one.kind, one.environment_id, one.item_id) for one in found]
        assert len(keys) == len(set(keys)), "one of each"


def test_who_may_vote_is_who_is_an_active_approver(application: Application, releases: list[Release]) -> None:
    gone = member(application, Role.APPROVER, station="security")
    gone.is_active = False
    gone.save()
    approvers = Membership.objects.filter(application=application, role=Role.APPROVER, user__is_active=True)
    assert sorted(queries.speakers(releases)) == sorted(approvers.values_list("application", "user", "station"))
    signers = Membership.objects.filter(
        application=application, role__in=[Role.APPROVER, Role.RELEASE_MANAGER], user__is_active=True
    )
    assert sorted(queries.waiver_signers(releases)) == sorted(signers.values_list("application", "user"))


def test_people_are_named_by_one_query_and_nobody_by_none(releases: list[Release]) -> None:
    votes, waivers = queries.votes(releases), queries.waivers(releases)
    places: list[tuple[Model, str]] = [(vote, "voter") for vote in votes]
    places += [(waiver, who) for waiver in waivers for who in ("requested_by", "approved_by", "revoked_by")]
    with CaptureQueriesContext(connection) as seen:
        queries.name_people(places)
        named = [str(vote.voter) for vote in votes] + [str(waiver.approved_by) for waiver in waivers]
        queries.name_people([(waiver, "revoked_by") for waiver in waivers])
    assert len(seen) == 1
    assert all(named)
    assert waivers[0].revoked_by is None


def test_a_release_is_read_whole_with_what_pages_name(team: Team, releases: list[Release]) -> None:
    expected = visible_releases(team.viewer).get(pk=releases[0].pk)
    found = queries.release_seen_by(team.viewer.pk, releases[0].pk)
    assert found is not None
    with CaptureQueriesContext(connection) as seen:
        parts = (found.application, found.source_environment, found.target_environment)
        told = [str(part) for part in (*parts, found.plan_version, found.requester)]
        document = found.plan_version.document
    assert (len(seen), told[-1]) == (0, str(expected.requester))
    assert rows([found, *parts]) == rows(
        [expected, expected.application, expected.source_environment, expected.target_environment]
    )
    assert document == expected.plan_version.document
    assert found.plan_version.get_deferred_fields() == {"text"}


def test_a_stranger_reads_no_release(releases: list[Release]) -> None:
    stranger = member(make_application(), Role.ADMINISTRATOR)
    assert queries.release_seen_by(stranger.pk, releases[0].pk) is None


def test_a_column_that_a_newer_version_adds_disturbs_no_prepared_statement(team: Team, releases: list[Release]) -> None:
    """The old version still answers while `migrate` of the new one has gone through."""

    def ask() -> None:
        queries.release_seen_by(team.viewer.pk, releases[0].pk)
        for name in ASKED:
            getattr(queries, name)(releases)

    for _ in range(8):
        ask()
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) > 0 FROM pg_prepared_statements WHERE statement LIKE '%releases_vote%'")
        assert cursor.fetchone() == (True,), "prepared, or this shows nothing"
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        for model in {found(()).model for found in ASKED.values()} | {Release, Application, Environment}:
            # As another connection does it: psycopg forgets what is prepared when its own alters a table.
            cursor.execute(f"DO 'BEGIN ALTER TABLE {model._meta.db_table} ADD COLUMN newer text; END'")  # type: ignore[attr-defined]
    ask()
