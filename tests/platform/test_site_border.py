"""Headers, health and the id of a request."""

import os
import re
import subprocess
import sys
from base64 import b64encode
from pathlib import Path

import pytest
from allauth.mfa.totp.internal.auth import TOTP, generate_totp_secret
from django.contrib.auth import SESSION_KEY
from django.test import Client

from config.services.home import BASE_DIR
from releases import request_id
from releases.models import User


def test_the_content_policy_allows_nothing_but_own_files(client: Client) -> None:
    policy = dict(
        part.strip().partition(" ")[::2] for part in client.get("/healthz")["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'self'"
    assert policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == "'none'"
    assert policy["base-uri"] == "'none'"
    assert "unsafe" not in " ".join(policy.values())


def test_every_answer_carries_the_guarding_headers(client: Client) -> None:
    answer = client.get("/healthz")
    assert answer["X-Frame-Options"] == "DENY"
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]


def test_every_answer_names_its_request(client: Client) -> None:
    assert re.fullmatch(r"[0-9A-Z]{26}", client.get("/healthz")["X-Request-ID"])
    assert client.get("/healthz", headers={"x-request-id": "proxy-12345678"})["X-Request-ID"] == "proxy-12345678"
    assert request_id.current() == ""


def test_a_forged_request_id_is_replaced(client: Client) -> None:
    answer = client.get("/healthz", headers={"x-request-id": 'x" level="critical'})
    assert re.fullmatch(r"[0-9A-Z]{26}", answer["X-Request-ID"])


@pytest.mark.django_db
def test_ready_says_that_both_servers_answer(client: Client) -> None:
    answer = client.get("/healthz/ready")
    assert answer.status_code == 200
    assert answer.json()["parts"] == {"postgresql": "ready", "redis": "ready"}


@pytest.mark.django_db
def test_ready_says_which_server_does_not_answer(client: Client, settings: object) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"  # type: ignore[attr-defined]
    answer = client.get("/healthz/ready")
    assert answer.status_code == 503
    assert answer.json()["parts"] == {"postgresql": "ready", "redis": "does not answer"}


def test_nobody_can_sign_up(client: Client, db: None) -> None:
    answer = client.post("/accounts/signup/", {"email": "x@example.org", "password1": "long-enough-1", "password2": ""})
    assert answer.status_code in {200, 403, 404}
    from django.contrib.auth import get_user_model

    assert not get_user_model().objects.filter(email="x@example.org").exists()


@pytest.mark.lockout
def test_it_locks_out_after_five_wrong_passwords(client: Client, db: None) -> None:
    codes = [
        client.post("/accounts/login/", {"login": "a@example.org", "password": f"wrong-{n}"}).status_code
        for n in range(7)
    ]
    assert codes[0] == 200
    assert codes[-1] == 429


OVER_HTTPS = "print(s.SESSION_COOKIE_SECURE, s.SECURE_HSTS_SECONDS, s.SECURE_SSL_REDIRECT, s.DEBUG, s.ALLOWED_HOSTS)"


def settings_with(tmp_path: Path, deed: str = OVER_HTTPS, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Load the settings in a process of its own and print what a deployment over https would use."""
    return subprocess.run(
        [sys.executable, "-c", f"from django.conf import settings as s;{deed}"],
        cwd=BASE_DIR,
        env={**os.environ, "GONOGO_HOME": str(tmp_path), "DJANGO_SETTINGS_MODULE": "config.settings", **variables},
        capture_output=True,
        text=True,
        check=False,
    )


def test_https_makes_cookies_secure_and_pins_https(tmp_path: Path) -> None:
    done = settings_with(tmp_path, PUBLIC_URL="https://go.example.org", TRUST_PROXY="true")
    assert done.stdout.startswith("True 31536000 True False ['go.example.org'"), done.stderr


def test_http_leaves_cookies_usable(tmp_path: Path) -> None:
    assert settings_with(tmp_path, PUBLIC_URL="http://127.0.0.1:8000").stdout.startswith("False 0 False False")


@pytest.mark.parametrize(
    ("name", "value"),
    [("PUBLIC_URL", "go.example.org"), ("BACKUP_KEYS", "k1:short"), ("LEDGER_SIGNING_KEY", "x"), ("DEBUG", "perhaps"),
     ("LEDGER_TRUSTED_KEYS", "c2hvcnQ="),
     ("EMAIL_URL", "pigeon://roof"), ("LOG_FORMAT", "xml"), ("RUN_HEARTBEAT_SECONDS", "29")],
)  # fmt: skip
def test_a_wrong_setting_stops_the_boot_and_is_named(tmp_path: Path, name: str, value: str) -> None:
    done = settings_with(tmp_path, **{name: value})
    assert done.returncode != 0
    assert name in done.stderr.strip().splitlines()[-1]


def test_https_without_a_trusted_proxy_stops_the_boot_instead_of_redirecting_for_ever(tmp_path: Path) -> None:
    done = settings_with(tmp_path, PUBLIC_URL="https://go.example.org", TRUST_PROXY="false")
    assert done.returncode != 0
    assert "set TRUST_PROXY=true" in done.stderr


def test_a_missing_key_stops_the_boot_where_none_may_be_made(tmp_path: Path) -> None:
    done = settings_with(tmp_path, GONOGO_MAKE_KEYS="false")
    assert done.returncode != 0
    assert "SECRET_KEY is not set" in done.stderr


def test_the_icon_is_found_where_browsers_ask_for_it(client: Client) -> None:
    answer = client.get("/favicon.ico", follow=False)
    assert answer.status_code == 302
    assert answer["Location"].endswith(".svg")


def test_keys_that_signed_before_are_read_from_their_variable(tmp_path: Path) -> None:
    keys = [b64encode(bytes([number]) * 32).decode() for number in (1, 2)]
    done = settings_with(tmp_path, "print(s.LEDGER_TRUSTED_KEYS)", LEDGER_TRUSTED_KEYS=", ".join(keys))
    assert done.stdout.splitlines() == [str(keys)], done.stderr
    assert settings_with(tmp_path, "print(s.LEDGER_TRUSTED_KEYS)").stdout.splitlines() == ["[]"]


@pytest.mark.django_db
def test_the_page_of_the_admin_is_no_way_around_the_second_factor(client: Client) -> None:
    keeper = User.objects.create_superuser("keeper@example.org", "a-long-enough-password", name="Keeper")
    TOTP.activate(keeper, generate_totp_secret())
    answer = client.post(
        "/admin/login/?next=/admin/", {"username": "keeper@example.org", "password": "a-long-enough-password"}
    )
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/login/")
    assert SESSION_KEY not in client.session


@pytest.mark.django_db
@pytest.mark.parametrize(
    "path",
    ["account/emailaddress/", "mfa/authenticator/", "socialaccount/socialapp/", "socialaccount/socialaccount/",
     "django_celery_beat/periodictask/", "auth/group/"],
)  # fmt: skip
def test_who_keeps_the_installation_gives_nobody_another_way_to_log_in(client: Client, path: str) -> None:
    keeper = User.objects.create_superuser("keeper@example.org", "a-long-enough-password", name="Keeper")
    client.force_login(keeper, backend="django.contrib.auth.backends.ModelBackend")
    assert client.get(f"/admin/{path}").status_code == 404
    assert client.get("/admin/axes/accessattempt/").status_code == 200
