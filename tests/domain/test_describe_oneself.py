"""A person changes what they are called and their zone; what ended meanwhile stays ended."""

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse

from releases.domain import user as users
from releases.domain.person import erase
from releases.enums import Role
from releases.errors import DomainError
from releases.models import Application, LedgerEntry, User
from tests.domain.racing import overtaken
from tests.factories import Team, UserFactory

pytestmark = pytest.mark.django_db(transaction=True)


def browser(user: User) -> Client:
    client = Client(raise_request_exception=False)
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def test_another_name_is_told_in_the_ledger_and_another_zone_is_not(team: Team) -> None:
    client, before = browser(team.engineer), team.engineer.name
    page = reverse("releases:person")
    assert before in client.get(page).content.decode()
    client.post(page, {"name": before, "time_zone": "Europe/Berlin"})
    assert not LedgerEntry.objects.filter(action="user.renamed").exists()
    client.post(page, {"name": "Somebody Else", "time_zone": "Europe/Berlin"})
    team.engineer.refresh_from_db()
    assert (team.engineer.name, team.engineer.time_zone) == ("Somebody Else", "Europe/Berlin")
    entry = LedgerEntry.objects.get(action="user.renamed")
    assert (entry.actor_id, entry.document) == (team.engineer.pk, {"before": before, "name": "Somebody Else"})
    assert client.post(page, {"name": " ", "time_zone": "UTC"}).status_code == 422


CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("releases:person", {"name": "Still Here", "time_zone": "Asia/Tokyo"}),
    ("account_change_password", {"oldpassword": "password", "password1": "a-new-long-password",
                                 "password2": "a-new-long-password"}),
]  # fmt: skip


@pytest.mark.parametrize(("page", "data"), CHANGES)
def test_what_waited_for_a_deactivation_does_not_undo_it(team: Team, page: str, data: dict[str, Any]) -> None:
    person, client = team.engineer, browser(team.engineer)
    answer = overtaken(
        lambda: client.post(reverse(page), data),
        by=lambda: users.deactivate(user=person, actor=team.administrator, reason="Left the company."),
    )
    found = User.objects.get(pk=person.pk)
    assert (found.is_active, found.name, found.password) == (False, person.name, person.password), answer
    assert answer.status_code in (400, 403, 422)


@pytest.mark.parametrize(("page", "data"), CHANGES)
def test_what_waited_for_an_erasure_does_not_undo_it(team: Team, page: str, data: dict[str, Any]) -> None:
    person, client = team.engineer, browser(team.engineer)
    overtaken(lambda: client.post(reverse(page), data), by=lambda: erase(person=person, actor=None, reason="A wish."))
    found = User.objects.get(pk=person.pk)
    assert found.is_erased
    assert found.name == f"Erased person {person.pk}"
    assert not found.has_usable_password()


def test_a_password_is_changed_and_logs_in(team: Team) -> None:
    page, data = CHANGES[1]
    assert browser(team.engineer).post(reverse(page), data).status_code == 302
    assert User.objects.get(pk=team.engineer.pk).check_password("a-new-long-password")


def test_nobody_changes_their_address_themselves(team: Team) -> None:
    client = browser(team.engineer)
    for answer in (
        client.get("/accounts/email/"),
        client.post("/accounts/email/", {"email": "erased-8@erased.invalid", "action_add": ""}),
    ):
        assert answer.status_code == 403
        assert "An account keeps its e-mail address" in answer.content.decode()
    assert User.objects.get(pk=team.engineer.pk).email == team.engineer.email
    assert "/accounts/email/" not in client.get(reverse("account_change_password")).content.decode()


@pytest.mark.parametrize("email", ["erased-8@erased.invalid", "a@Erased.Invalid", "a@b.erased.invalid"])
def test_nobody_is_invited_at_an_address_of_erased_accounts(application: Application, team: Team, email: str) -> None:
    with pytest.raises(DomainError, match="those of erased accounts") as refusal:
        users.invite_person(email=email, name="X", application=application, role=Role.VIEWER, actor=team.administrator)
    assert refusal.value.field == "email"
    with pytest.raises(ValueError, match="those of erased accounts"):
        User.objects.create_superuser(email, "password", name="X")


def test_an_address_alone_makes_nobody_erased(team: Team) -> None:
    person = UserFactory(email="erased-0@erased.invalid")
    assert not person.is_erased
    users.reactivate(
        user=users.deactivate(user=person, actor=keeper_of_all(), reason="A look."), actor=team.administrator
    )
    erase(person=person, actor=None, reason="A wish.")
    person.refresh_from_db()
    assert person.is_erased
    with pytest.raises(DomainError, match="erased, and nobody can have it back"):
        users.reactivate(user=person, actor=keeper_of_all())


def keeper_of_all() -> User:
    return UserFactory(is_superuser=True)
