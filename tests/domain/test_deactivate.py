"""The end of an account, and its return."""

import pytest
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import Client

from releases import permissions
from releases.domain import application as applications
from releases.domain import gate, ledger
from releases.domain import user as users
from releases.domain.poll import Counting
from releases.enums import ReleaseState, Role
from releases.errors import DomainError, NotAllowed
from releases.models import Application, LedgerEntry, Membership, Release, User
from tests.domain.racing import race
from tests.factories import ApplicationFactory, Team, UserFactory, launched, make_approved, member

pytestmark = pytest.mark.django_db


def end(user: User, actor: User, reason: str = "Left the company.") -> User:
    return users.deactivate(user=user, actor=actor, reason=reason)


def test_their_votes_no_longer_count_and_count_again_when_they_are_back(release: Release, team: Team) -> None:
    release = make_approved(release, team)
    approver = team.approvers["security"]
    end(approver, team.administrator)
    release.refresh_from_db()
    assert release.state == ReleaseState.REHEARSING
    assert gate.evaluate(release).poll[2].counting == Counting.BARRED
    users.reactivate(user=approver, actor=team.administrator)
    release.refresh_from_db()
    assert release.state == ReleaseState.APPROVED


def test_their_sessions_end_at_once_and_those_of_others_stay(application: Application, team: Team) -> None:
    theirs, others = Client(), Client()
    theirs.force_login(team.viewer, backend="django.contrib.auth.backends.ModelBackend")
    others.force_login(team.auditor, backend="django.contrib.auth.backends.ModelBackend")
    end(team.viewer, team.administrator)
    assert theirs.get("/").status_code == 302
    assert others.get("/").status_code == 200
    assert Session.objects.count() == 1
    users.reactivate(user=team.viewer, actor=team.administrator)
    assert theirs.get("/").status_code == 302
    told = LedgerEntry.objects.filter(action="user.deactivated").get()
    assert (told.document["reason"], told.document["sessions"]) == ("Left the company.", 1)


def test_an_unreadable_session_is_in_nobodys_way(application: Application, team: Team) -> None:
    SessionStore().save()
    Session.objects.update(session_data="broken")
    assert not end(team.viewer, team.administrator).is_active
    assert Session.objects.count() == 1, "whose session that was is known to nobody"


@pytest.mark.parametrize("state", ["deploying", "watching", "failed", "unknown"])
def test_the_only_release_manager_stays_while_a_release_is_half_way(
    application: Application, team: Team, release: Release, state: str
) -> None:
    assert launched(release, team, state).state == state
    role = team.manager.memberships.get()
    with pytest.raises(DomainError, match=f"nobody else who can log in is a release manager of {application}"):
        end(team.manager, team.administrator)
    with pytest.raises(DomainError, match="nobody could roll it back"):
        applications.remove_member(membership=role, actor=team.administrator)
    assert Membership.objects.filter(pk=role.pk, user__is_active=True).exists()
    second = member(application, Role.RELEASE_MANAGER)
    applications.remove_member(membership=role, actor=team.administrator)
    with pytest.raises(DomainError, match="nobody could roll it back"):
        end(second, team.administrator)


@pytest.mark.django_db(transaction=True)
def test_two_release_managers_do_not_go_at_once_while_a_release_is_half_way(
    application: Application, team: Team, release: Release
) -> None:
    second = member(application, Role.RELEASE_MANAGER)
    launched(release, team, "failed")
    people = [team.manager, second]
    race(lambda number: end(people[number], team.administrator), times=2)
    assert User.objects.filter(pk__in=[each.pk for each in people], is_active=True).count() == 1


def test_an_open_invitation_ends_with_the_account(application: Application, team: Team) -> None:
    invitation = users.invite_person(
        email="new@example.org", name="Nia", application=application, role=Role.VIEWER, actor=team.administrator
    )
    user = end(invitation.user, team.administrator)
    assert not users.invitation_tokens.check_token(user, invitation.token)


def test_nobody_deactivates_themselves(application: Application, team: Team) -> None:
    member(application, Role.ADMINISTRATOR)
    keeper = UserFactory(is_superuser=True)
    for person in (team.administrator, keeper):
        with pytest.raises(NotAllowed, match="Nobody deactivates themselves"):
            end(person, person)


def test_the_last_administrator_who_can_log_in_stays(application: Application, team: Team) -> None:
    keeper = UserFactory(is_superuser=True)
    with pytest.raises(DomainError, match=f"the last administrator of {application.name} who can log in"):
        end(team.administrator, keeper)
    second = users.invite_person(
        email="new@example.org", name="Nia", application=application, role=Role.ADMINISTRATOR, actor=team.administrator
    ).user
    with pytest.raises(DomainError, match="the last administrator"):
        end(team.administrator, keeper)
    with pytest.raises(DomainError, match="needs an administrator who can log in"):
        applications.remove_member(
            membership=team.administrator.memberships.get(role=Role.ADMINISTRATOR), actor=team.administrator
        )
    User.objects.filter(pk=second.pk).update(invited_at=None)
    assert not end(team.administrator, keeper).is_active


@pytest.mark.django_db(transaction=True)
def test_two_administrators_cannot_deactivate_each_other_at_once(application: Application, team: Team) -> None:
    second = member(application, Role.ADMINISTRATOR)
    pairs = [(team.administrator, second), (second, team.administrator)]
    results = race(lambda number: end(*pairs[number % 2]), times=4)
    assert User.objects.filter(pk__in=[team.administrator.pk, second.pk], is_active=True).count() == 1
    assert sum(isinstance(result, User) for result in results) == 1


@pytest.mark.django_db(transaction=True)
def test_who_loses_the_role_at_the_same_moment_gives_no_role_after_it(application: Application, team: Team) -> None:
    """The ledger never shows a role that was given by somebody who had been no administrator any more."""
    second, candidate = member(application, Role.ADMINISTRATOR), UserFactory()
    held = second.memberships.get()
    stale = User.objects.get(pk=second.pk)

    def deed(number: int) -> object:
        if number == 0:
            return applications.remove_member(membership=held, actor=team.administrator)
        role = (Role.VIEWER, Role.AUDITOR, Role.ENGINEER, Role.RELEASE_MANAGER)[number - 1]
        return applications.add_member(application=application, user=candidate, role=role, actor=stale)

    results = race(deed, times=5)
    assert all(result is None or isinstance(result, Membership | NotAllowed) for result in results)
    ledger.seal_now()
    actions = LedgerEntry.objects.filter(application_id=application.pk, action__startswith="member.")
    told = list(actions.order_by("sequence").values_list("action", "actor_id"))
    after = told[told.index(("member.removed", team.administrator.pk)) :]
    assert ("member.added", second.pk) not in after


@pytest.mark.django_db(transaction=True)
def test_who_is_named_administrator_elsewhere_at_that_moment_leaves_no_application_alone(
    application: Application, team: Team
) -> None:
    elsewhere = ApplicationFactory()
    first = member(elsewhere, Role.ADMINISTRATOR)
    member(application, Role.ADMINISTRATOR, user=team.viewer)
    keeper = UserFactory(is_superuser=True)

    def deed(number: int) -> object:
        if number:
            return end(team.viewer, keeper)
        applications.add_member(application=elsewhere, user=team.viewer, role=Role.ADMINISTRATOR, actor=first)
        return applications.remove_member(membership=first.memberships.get(), actor=None)

    race(deed, times=2)
    assert permissions.able_administrators(elsewhere).exists()


def test_it_takes_an_administrator_of_every_application_of_the_person(application: Application, team: Team) -> None:
    elsewhere = ApplicationFactory()
    stranger = member(elsewhere, Role.ADMINISTRATOR)
    others = [person for person in team.everybody if person not in (team.administrator, team.viewer)]
    for actor in (*others, UserFactory()):
        with pytest.raises(NotAllowed, match="role administrator"):
            end(team.viewer, actor)
    with pytest.raises(NotAllowed, match="applications that you do not administer"):
        end(team.viewer, stranger)
    member(elsewhere, Role.AUDITOR, user=team.viewer)
    with pytest.raises(NotAllowed, match="applications that you do not administer"):
        end(team.viewer, team.administrator)
    member(elsewhere, Role.ADMINISTRATOR, user=team.administrator)
    assert not end(team.viewer, team.administrator).is_active


def test_only_a_keeper_decides_about_a_keeper(application: Application, team: Team) -> None:
    keeper, other = UserFactory(is_superuser=True), UserFactory(is_superuser=True)
    with pytest.raises(NotAllowed, match="only another keeper"):
        end(keeper, team.administrator)
    assert not end(keeper, other).is_active


def test_an_administrator_who_was_deactivated_meanwhile_does_nothing(application: Application, team: Team) -> None:
    User.objects.filter(pk=team.administrator.pk).update(is_active=False)
    with pytest.raises(NotAllowed):
        end(team.viewer, team.administrator)
    with pytest.raises(NotAllowed):
        users.reactivate(user=team.viewer, actor=team.administrator)


def test_twice_and_without_a_reason_is_refused(application: Application, team: Team) -> None:
    with pytest.raises(DomainError, match="Say why") as refusal:
        end(team.viewer, team.administrator, " ")
    assert refusal.value.field == "reason"
    with pytest.raises(DomainError, match="active already"):
        users.reactivate(user=team.viewer, actor=team.administrator)
    end(team.viewer, team.administrator)
    with pytest.raises(DomainError, match="not active already"):
        end(team.viewer, team.administrator)


def test_an_inactive_person_gets_no_role(application: Application, team: Team) -> None:
    end(team.viewer, team.administrator)
    with pytest.raises(DomainError, match="not active") as refusal:
        applications.add_member(application=application, user=team.viewer, role=Role.ENGINEER, actor=team.administrator)
    assert refusal.value.field == "user"


def test_a_keeper_takes_over_an_application_that_nobody_can_administer(application: Application, team: Team) -> None:
    keeper = UserFactory(is_superuser=True)
    with pytest.raises(NotAllowed, match="Nobody gives a role to themselves"):
        applications.add_member(application=application, user=keeper, role=Role.ADMINISTRATOR, actor=keeper)
    User.objects.filter(pk=team.administrator.pk).update(is_active=False)
    applications.add_member(application=application, user=keeper, role=Role.ADMINISTRATOR, actor=keeper)
    with pytest.raises(NotAllowed, match="Nobody gives a role to themselves"):
        applications.add_member(application=application, user=keeper, role=Role.ENGINEER, actor=keeper)
