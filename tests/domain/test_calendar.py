"""Change freezes."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from releases.domain import calendar
from releases.enums import Role
from releases.errors import DomainError, NotAllowed
from releases.models import Application, ChangeFreeze, User
from tests.factories import ApplicationFactory, Team, member
from tests.pages.test_open_pages import browser

pytestmark = pytest.mark.django_db


def freeze(application: Application | None, actor: User, start: float = 1, end: float = 2) -> ChangeFreeze:
    now = timezone.now()
    return calendar.create_freeze(
        application=application,
        opens=now + timedelta(days=start),
        closes=now + timedelta(days=end),
        reason="Year-end closing",
        actor=actor,
    )


def touching(application: Application, start: float, end: float) -> list[ChangeFreeze]:
    now = timezone.now()
    return calendar.freezes_touching(application, now + timedelta(days=start), now + timedelta(days=end))


def test_it_touches_what_overlaps_and_nothing_else(application: Application, team: Team) -> None:
    made = freeze(application, team.manager)
    assert touching(application, 0, 1.5) == [made]
    assert touching(application, 1.2, 1.3) == [made]
    assert touching(application, 0, 0.9) == []
    assert touching(application, 2.1, 3) == []
    assert touching(ApplicationFactory(), 0, 3) == []
    calendar.lift_freeze(freeze=made, actor=team.administrator)
    assert touching(application, 0, 3) == []
    with pytest.raises(DomainError, match="lifted already"):
        calendar.lift_freeze(freeze=made, actor=team.manager)


def test_one_for_all_needs_the_role_in_all(application: Application, team: Team) -> None:
    other = ApplicationFactory()
    with pytest.raises(NotAllowed, match="in each"):
        freeze(None, team.manager)
    member(other, Role.RELEASE_MANAGER, user=team.manager)
    made = freeze(None, team.manager)
    assert touching(application, 1, 2) == touching(other, 1, 2) == [made]


def test_it_refuses_other_roles(application: Application, team: Team) -> None:
    made = freeze(application, team.manager)
    for person in (team.viewer, team.auditor, team.engineer, team.approvers["security"]):
        with pytest.raises(NotAllowed):
            freeze(application, person)
        with pytest.raises(NotAllowed):
            calendar.lift_freeze(freeze=made, actor=person)


def test_it_refuses_the_past_and_the_wrong_order(application: Application, team: Team) -> None:
    with pytest.raises(DomainError, match="ends after it begins"):
        freeze(application, team.manager, 2, 1)
    with pytest.raises(DomainError, match="in the future"):
        freeze(application, team.manager, -2, -1)


def test_one_for_all_is_lifted_on_the_page_by_who_manages_all_and_refused_with_a_reason_to_others(
    application: Application, team: Team
) -> None:
    other = ApplicationFactory()
    member(other, Role.RELEASE_MANAGER, user=team.manager)
    made = freeze(None, team.manager)
    address = reverse("releases:freeze_lift", args=[made.pk])
    refused = browser(team.administrator).post(address, follow=True)
    assert "needs the role release manager or administrator in each" in refused.content.decode()
    answer = browser(team.manager).post(address, follow=True)
    assert answer.status_code == 200
    assert "The freeze is lifted." in answer.content.decode()
    made.refresh_from_db()
    assert made.lifted_at is not None
