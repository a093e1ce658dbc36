"""Who sees and does what. A stranger sees nothing, and no flag on an account replaces a role."""

from uuid import uuid4

import pytest
from django.contrib.auth.models import AnonymousUser
from django.http import Http404

from releases import permissions
from releases.enums import Role
from releases.errors import NotAllowed
from releases.models import Application, Release
from tests.factories import ApplicationFactory, Team, UserFactory, member

pytestmark = pytest.mark.django_db


def test_every_member_sees_the_application_and_its_releases(
    application: Application, team: Team, release: Release
) -> None:
    for person in team.everybody:
        assert permissions.get_application_or_404(person, application.slug) == application
        assert permissions.get_release_or_404(person, release.pk) == release


def test_a_stranger_sees_nothing(application: Application, release: Release) -> None:
    elsewhere = member(ApplicationFactory(), Role.ADMINISTRATOR)
    boss = UserFactory(is_superuser=True, is_staff=True)
    for person in (UserFactory(), elsewhere, boss, AnonymousUser()):
        assert application not in permissions.visible_applications(person)
        with pytest.raises(Http404):
            permissions.get_application_or_404(person, application.slug)
        with pytest.raises(Http404):
            permissions.get_release_or_404(person, release.pk)


def test_a_deactivated_member_sees_nothing(application: Application, team: Team) -> None:
    team.manager.is_active = False
    team.manager.save()
    assert not permissions.visible_applications(team.manager).exists()
    assert permissions.roles_in(team.manager, application) == frozenset()
    assert permissions.stations_of(team.approvers["security"], application) == {"security"}


def test_an_unknown_or_malformed_id_is_not_found(team: Team) -> None:
    for wrong in (uuid4(), "not-a-uuid", ""):
        with pytest.raises(Http404):
            permissions.get_release_or_404(team.viewer, wrong)


def test_it_names_the_role_that_is_needed(application: Application, team: Team) -> None:
    with pytest.raises(NotAllowed, match=f"This needs the role engineer or release manager in {application}"):
        permissions.require(team.viewer, application, Role.ENGINEER, Role.RELEASE_MANAGER)
    permissions.require(team.manager, application, Role.ENGINEER, Role.RELEASE_MANAGER)


def test_roles_of_one_application_mean_nothing_in_another(application: Application, team: Team) -> None:
    assert permissions.roles_in(team.manager, ApplicationFactory()) == frozenset()
    assert permissions.roles_in(team.manager, application) == {Role.RELEASE_MANAGER}


def test_a_person_with_two_roles_sees_an_application_once(application: Application, team: Team) -> None:
    member(application, Role.AUDITOR, user=team.manager)
    assert permissions.visible_applications(team.manager).count() == 1
