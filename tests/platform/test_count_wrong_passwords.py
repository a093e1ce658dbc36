"""Wrong passwords are counted by the address they come from, behind a proxy as well."""

from pathlib import Path

import pytest
from axes.models import AccessAttempt
from django.test import Client

from config.accounts import client_address
from releases.models import User
from tests.platform.test_site_border import settings_with

pytestmark = [pytest.mark.django_db, pytest.mark.lockout]
PROXY, STRANGER, OWNER = "10.0.0.9", "203.0.113.5", "198.51.100.7"
PASSWORD = "a-long-enough-password"


@pytest.fixture(autouse=True)
def owner() -> None:
    User.objects.create_user(email="mara@example.org", name="Mara Lind", password=PASSWORD)


def log_in(password: str, *, peer: str, forwarded: str = "") -> int:
    headers = {"x-forwarded-for": forwarded} if forwarded else {}
    fields = {"login": "mara@example.org", "password": password}
    return Client(REMOTE_ADDR=peer, headers=headers).post("/accounts/login/", fields).status_code


def test_behind_a_proxy_a_stranger_locks_out_themselves_alone(settings: object) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = 1  # type: ignore[attr-defined]
    codes = [log_in("wrong", peer=PROXY, forwarded=f"{number}.1.1.1, {STRANGER}") for number in range(1, 12)]
    assert codes[-1] == 429, (codes, list(AccessAttempt.objects.values()))
    assert {row.ip_address for row in AccessAttempt.objects.all()} == {STRANGER}
    assert log_in(PASSWORD, peer=PROXY, forwarded=STRANGER) == 429
    assert log_in(PASSWORD, peer=PROXY, forwarded=OWNER) == 302


def test_without_a_proxy_a_forged_address_counts_for_nothing() -> None:
    codes = [log_in("wrong", peer=STRANGER, forwarded=f"{number}.1.1.1") for number in range(1, 12)]
    assert codes[-1] == 429, (codes, list(AccessAttempt.objects.values()))
    assert {row.ip_address for row in AccessAttempt.objects.all()} == {STRANGER}
    assert log_in(PASSWORD, peer=OWNER, forwarded=STRANGER) == 302


@pytest.mark.parametrize(("trusted", "count"), [("true", 1), ("false", 0)])
def test_the_proxy_is_counted_only_where_the_site_has_one(tmp_path: Path, trusted: str, count: int) -> None:
    deed = "print(getattr(s, 'ALLAUTH_TRUSTED_PROXY_COUNT', 0), s.AXES_CLIENT_IP_CALLABLE)"
    found = settings_with(tmp_path, deed, TRUST_PROXY=trusted)
    assert found.stdout.split() == [str(count), f"{client_address.__module__}.{client_address.__name__}"], found.stderr
