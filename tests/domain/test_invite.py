"""Invitations: an account without a password, and a link that works once."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from releases.domain import user as users
from releases.enums import Role
from releases.errors import DomainError, NotAllowed
from releases.models import Application, LedgerEntry, User
from tests.domain.racing import race
from tests.factories import ApplicationFactory, Team, UserFactory, member

pytestmark = pytest.mark.django_db
PASSWORD = "a-long-enough-password"


def invite(application: Application, actor: User, **more: Any) -> users.Invitation:
    facts = {"email": "new@example.org", "name": "Nia New", "role": Role.ENGINEER, **more}
    return users.invite_person(application=application, actor=actor, **facts)


def test_an_invited_person_has_a_role_and_no_password(application: Application, team: Team) -> None:
    user = invite(application, team.administrator, email=" New@Example.ORG ").user
    assert user.email == "new@example.org"
    assert user.waits_to_accept
    assert not user.has_usable_password()
    assert user.memberships.get().role == Role.ENGINEER
    told = LedgerEntry.objects.filter(subject_type="user", subject_id=str(user.pk)).get()
    assert (told.action, told.actor_id) == ("user.invited", team.administrator.pk)


def test_accepting_sets_the_password_and_the_link_works_once(application: Application, team: Team) -> None:
    invitation = invite(application, team.administrator)
    user = users.accept_invitation(user=invitation.user, token=invitation.token, password=PASSWORD)
    assert user.check_password(PASSWORD)
    assert LedgerEntry.objects.filter(action="user.accepted", actor_id=user.pk).count() == 1
    with pytest.raises(DomainError, match="This link was used already"):
        users.accept_invitation(user=user, token=invitation.token, password="another-long-password")
    user.refresh_from_db()
    assert user.check_password(PASSWORD)


@pytest.mark.django_db(transaction=True)
def test_one_of_many_who_use_a_link_at_once_gets_through(application: Application, team: Team) -> None:
    invitation = invite(application, team.administrator)

    def accept(number: int) -> User:
        return users.accept_invitation(user=invitation.user, token=invitation.token, password=f"{PASSWORD}-{number}")

    results = race(accept, times=6)
    assert sum(isinstance(result, User) for result in results) == 1
    assert all(isinstance(result, User | DomainError) for result in results)


def test_a_weak_password_is_refused_at_its_field(application: Application, team: Team) -> None:
    invitation = invite(application, team.administrator)
    with pytest.raises(DomainError, match="too short") as refusal:
        users.accept_invitation(user=invitation.user, token=invitation.token, password="short")
    assert refusal.value.field == "new_password1"
    assert users.invitation_tokens.check_token(invitation.user, invitation.token)


def test_a_link_ends_after_its_time(application: Application, team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    invitation = invite(application, team.administrator)
    late = datetime.now() + timedelta(seconds=settings.PASSWORD_RESET_TIMEOUT + 1)  # noqa: DTZ005 - as Django counts
    monkeypatch.setattr(type(users.invitation_tokens), "_now", lambda self: late)
    with pytest.raises(DomainError, match="too old"):
        users.accept_invitation(user=invitation.user, token=invitation.token, password=PASSWORD)


def test_sending_it_again_ends_the_link_of_before(application: Application, team: Team) -> None:
    first = invite(application, team.administrator)
    second = users.renew_invitation(user=first.user, actor=team.administrator)
    assert not users.invitation_tokens.check_token(second.user, first.token)
    assert users.invitation_tokens.check_token(second.user, second.token)


def test_who_has_logged_in_needs_no_invitation(application: Application, team: Team) -> None:
    user = invite(application, team.administrator).user
    User.objects.filter(pk=user.pk).update(last_login=timezone.now())
    with pytest.raises(DomainError, match="has logged in already"):
        users.renew_invitation(user=user, actor=team.administrator)
    with pytest.raises(DomainError, match="has logged in already"):
        users.renew_invitation(user=team.viewer, actor=team.administrator)


def test_a_link_for_a_forgotten_password_is_no_invitation(application: Application, team: Team) -> None:
    from django.contrib.auth.tokens import default_token_generator

    user = invite(application, team.administrator).user
    with pytest.raises(DomainError, match="This link"):
        users.accept_invitation(user=user, token=default_token_generator.make_token(user), password=PASSWORD)


def test_an_address_that_has_an_account_is_refused_at_its_field(application: Application, team: Team) -> None:
    with pytest.raises(DomainError, match="There is an account") as refusal:
        invite(application, team.administrator, email=team.viewer.email.upper())
    assert refusal.value.field == "email"


def test_only_administrators_of_the_application_invite_and_nothing_is_left(
    application: Application, team: Team
) -> None:
    elsewhere = member(ApplicationFactory(), Role.ADMINISTRATOR)
    others = [person for person in team.everybody if person != team.administrator]
    for actor in (*others, elsewhere, UserFactory(), UserFactory(is_superuser=True)):
        with pytest.raises(NotAllowed, match="role administrator"), transaction.atomic():
            invite(application, actor)
    assert not User.objects.filter(email="new@example.org").exists()
    assert not LedgerEntry.objects.filter(action="user.invited").exists()


def test_an_unknown_station_is_refused_and_names_those_there_are(application: Application, team: Team) -> None:
    with pytest.raises(DomainError, match="engineering, release-management and security") as refusal:
        invite(application, team.administrator, role=Role.APPROVER, station="securty")
    assert refusal.value.field == "station"


def test_who_keeps_the_installation_names_administrators_and_nothing_else(application: Application) -> None:
    keeper = UserFactory(is_superuser=True)
    assert invite(application, keeper, role=Role.ADMINISTRATOR).user.memberships.get().role == Role.ADMINISTRATOR
    with pytest.raises(NotAllowed, match="role administrator"):
        invite(application, keeper, email="other@example.org", role=Role.APPROVER, station="security")
