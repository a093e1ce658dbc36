"""The way in when nobody else is left: ``manage.py createsuperuser``."""

import io

import pytest
from django.core.management import call_command

from releases.domain import application as applications
from releases.models import User

pytestmark = pytest.mark.django_db


def test_createsuperuser_makes_somebody_who_can_log_in_and_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "a-long-enough-password")
    call_command(
        "createsuperuser", interactive=False, email="Keeper@Example.org", name="Kim Keeper", stdout=io.StringIO()
    )
    keeper = User.objects.get(email="keeper@example.org")
    assert keeper.check_password("a-long-enough-password")
    assert keeper.is_superuser
    made = applications.create_application(slug="shop", name="Shop", actor=keeper)
    assert made.memberships.get().user == keeper
