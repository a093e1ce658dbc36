"""Applications, plan versions and members."""

import pytest
from django.db import IntegrityError, transaction

from releases.domain import application as applications
from releases.domain.application import publish_plan
from releases.enums import Role
from releases.errors import DomainError, NotAllowed
from releases.models import Application, LedgerEntry, Membership, PlanVersion
from tests.domain.racing import race
from tests.factories import ApplicationFactory, Team, UserFactory, publish

pytestmark = pytest.mark.django_db


def test_its_maker_becomes_its_administrator(team: Team) -> None:
    made = applications.create_application(slug="shop", name="Shop", actor=team.administrator)
    assert Membership.objects.get(application=made).user == team.administrator
    with pytest.raises(DomainError, match="There is an application 'shop' already"):
        applications.create_application(slug="shop", name="Shop", actor=team.administrator)


@pytest.mark.parametrize("slug", ["", "new", "Shop", "-shop", "a b", "x" * 61])
def test_a_slug_that_no_plan_or_page_can_name_is_refused(team: Team, slug: str) -> None:
    with pytest.raises(DomainError, match="A slug begins with") as refusal:
        applications.create_application(slug=slug, name="Shop", actor=team.administrator)
    assert refusal.value.field == "slug"


def test_a_name_is_asked_for(application: Application, team: Team) -> None:
    with pytest.raises(DomainError, match="has a name") as refusal:
        applications.create_application(slug="shop", name=" ", actor=team.administrator)
    assert refusal.value.field == "name"
    with pytest.raises(DomainError, match="has a name"):
        applications.change_application(
            application=application, name="", description="", plan_folder="", actor=team.administrator
        )


def test_its_administrator_changes_what_people_read_and_the_ledger_tells_what(
    application: Application, team: Team
) -> None:
    facts = {"name": "Shop", "description": "Sells.", "plan_folder": "/srv/shop"}
    before = application.name
    applications.change_application(application=application, actor=team.administrator, **facts)
    application.refresh_from_db()
    assert (application.name, application.description, application.plan_folder) == ("Shop", "Sells.", "/srv/shop")
    told = LedgerEntry.objects.filter(action="application.changed").get().document
    assert (told["before"]["name"], told["after"]) == (before, facts)
    applications.change_application(application=application, actor=team.administrator, **facts)
    assert LedgerEntry.objects.filter(action="application.changed").count() == 1


def test_nobody_else_changes_it(application: Application, team: Team) -> None:
    elsewhere = applications.create_application(slug="other", name="Other", actor=team.administrator)
    stranger = UserFactory()
    applications.add_member(application=elsewhere, user=stranger, role=Role.ADMINISTRATOR, actor=team.administrator)
    others = [person for person in team.everybody if person != team.administrator]
    for person in (*others, stranger, UserFactory(is_superuser=True)):
        with pytest.raises(NotAllowed, match="role administrator"):
            applications.change_application(
                application=application, name="Mine", description="", plan_folder="/", actor=person
            )


def test_only_an_administrator_or_the_keeper_of_the_installation_makes_one(team: Team) -> None:
    for person in (UserFactory(), team.manager, UserFactory(is_superuser=True, is_active=False)):
        with pytest.raises(NotAllowed, match="role administrator"):
            applications.create_application(slug="shop", name="Shop", actor=person)
    keeper = UserFactory(is_superuser=True)
    applications.create_application(slug="shop", name="Shop", actor=keeper)


def test_a_plan_becomes_the_next_version_and_environments_follow(application: Application) -> None:
    environments = {
        "staging": {"tier": "staging", "url": "http://127.0.0.1:9", "queue": "env-staging"},
        "production": {"tier": "production", "url": "http://127.0.0.1:2"},
        "second": {"tier": "production", "url": "http://127.0.0.1:3"},
    }
    version = publish(application, {"environments": environments})
    assert version.number == 2
    assert application.current_plan == version
    places = {place.name: place for place in application.environments.all()}
    assert (places["staging"].url, places["staging"].queue) == ("http://127.0.0.1:9", "env-staging")
    assert places["second"].tier == "production"
    assert LedgerEntry.objects.filter(action="plan.published", application_id=application.pk).count() == 2


def test_the_same_plan_twice_is_refused_kindly(application: Application) -> None:
    before = application.current_plan
    with pytest.raises(DomainError, match="This is plan v1 as it stands"):
        _republish(application, before)


def _republish(application: Application, version: PlanVersion, **changes: object) -> PlanVersion:
    facts = {
        "text": version.text,
        "document": version.document,
        "digest": version.digest,
        "sections": version.sections,
        "author": None,
    }
    return publish_plan(application=application, **{**facts, **changes})


def test_the_plan_of_another_application_is_refused(application: Application) -> None:
    other = ApplicationFactory().current_plan
    with pytest.raises(DomainError, match="not of"):
        _republish(application, other)


def test_only_managers_and_administrators_publish(application: Application, team: Team) -> None:
    version = application.current_plan
    for person in (team.viewer, team.auditor, team.engineer, team.approvers["security"]):
        with pytest.raises(NotAllowed, match="role release manager or administrator"):
            _republish(application, version, digest="0" * 64, author=person)
    assert _republish(application, version, digest="0" * 64, author=team.manager).number == 2


@pytest.mark.django_db(transaction=True)
def test_plans_published_at_once_get_numbers_in_a_row(application: Application) -> None:
    version = application.current_plan
    results = race(lambda number: _republish(application, version, digest=f"{number:064x}"), times=8)
    assert sorted(result.number for result in results) == list(range(2, 10))


@pytest.mark.parametrize("deed", ["update", "delete"])
def test_the_database_keeps_a_plan_as_it_was_published(application: Application, deed: str) -> None:
    rows = PlanVersion.objects.filter(application=application)
    with pytest.raises(IntegrityError, match=f"{deed.upper()} is refused"), transaction.atomic():
        rows.update(text="other") if deed == "update" else rows.delete()


def test_an_administrator_gives_and_takes_roles(application: Application, team: Team) -> None:
    person = UserFactory()
    membership = applications.add_member(
        application=application, user=person, role=Role.APPROVER, station="security", actor=team.administrator
    )
    assert LedgerEntry.objects.filter(action="member.added").latest("id").document["station"] == "security"
    applications.remove_member(membership=membership, actor=team.administrator)
    assert not person.memberships.exists()
    assert LedgerEntry.objects.filter(action="member.removed").latest("id").document["user"] == person.pk


def test_nobody_else_gives_roles_and_nobody_to_themselves(application: Application, team: Team) -> None:
    for person in team.everybody:
        if person != team.administrator:
            with pytest.raises(NotAllowed, match="role administrator"):
                applications.add_member(application=application, user=person, role=Role.AUDITOR, actor=person)
    with pytest.raises(NotAllowed, match="Nobody gives a role to themselves"):
        applications.add_member(
            application=application, user=team.administrator, role=Role.RELEASE_MANAGER, actor=team.administrator
        )


def test_an_approver_has_a_station_and_nobody_else_does(application: Application, team: Team) -> None:
    person = UserFactory()
    with pytest.raises(DomainError, match="speaks for a station; name it"):
        applications.add_member(application=application, user=person, role=Role.APPROVER, actor=team.administrator)
    with pytest.raises(DomainError, match="Only an approver speaks for a station"):
        applications.add_member(
            application=application, user=person, role=Role.VIEWER, station="security", actor=team.administrator
        )
    with pytest.raises(DomainError, match="has this role already"):
        applications.add_member(application=application, user=team.viewer, role=Role.VIEWER, actor=team.administrator)


def test_the_last_administrator_stays(application: Application, team: Team) -> None:
    membership = Membership.objects.get(user=team.administrator)
    with pytest.raises(DomainError, match="needs an administrator"):
        applications.remove_member(membership=membership, actor=team.administrator)


def lowered(tier: str) -> dict[str, object]:
    """A plan that calls production something else, and has another production beside it."""
    return {
        "environments": {
            "staging": {"tier": "staging"},
            "production": {"tier": tier},
            "elsewhere": {"tier": "production"},
        }
    }


@pytest.mark.parametrize("tier", ["staging", "development"])
def test_no_plan_makes_something_else_of_production(application: Application, tier: str) -> None:
    before = application.plan_versions.count()
    with pytest.raises(DomainError, match=r"environments\.production\.tier: production is production") as refusal:
        publish(application, lowered(tier))
    assert refusal.value.field == "text"
    assert application.plan_versions.count() == before
    assert application.environments.get(name="production").tier == "production"
    assert not application.environments.filter(name="elsewhere").exists()


def test_what_was_not_production_may_become_it(application: Application) -> None:
    publish(application, {"environments": {"staging": {"tier": "production"}, "production": {"tier": "production"}}})
    assert application.environments.get(name="staging").tier == "production"


def test_the_database_keeps_production_as_well(application: Application) -> None:
    with pytest.raises(IntegrityError, match="is production and stays it"), transaction.atomic():
        application.environments.filter(name="production").update(tier="staging")
