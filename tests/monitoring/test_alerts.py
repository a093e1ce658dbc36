"""Alerts over an outbox, through real channels: a webhook by Apprise, and mail."""

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.core import mail
from django.utils import timezone

from monitoring.domain import alert as alerts
from monitoring.domain.channel import without_secrets
from monitoring.domain.delivery import WAITS, deliver_due
from monitoring.models import Alert, AlertDelivery
from releases.domain.environment import set_secret
from releases.domain.items import item_statuses
from releases.enums import ItemState
from releases.errors import DomainError, NotAllowed, StateChanged
from releases.models import LedgerEntry
from tests.factories import UserFactory
from tests.kinds_deploy.local_server import LocalServer
from tests.monitoring.support import Watched, make_watched, record

pytestmark = pytest.mark.django_db


class Hook:
    """A real webhook that keeps what it was sent."""

    def __init__(self) -> None:
        self.status, self.got = 200, list[dict[str, Any]]()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if hook.status == 200:
                    hook.got.append(json.loads(body))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *_args: Any) -> None:
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"json://127.0.0.1:{self.server.server_address[1]}/hidden-token-in-the-path"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def hooked(server: LocalServer, hook: Hook, storage_folder: object, db: None) -> Watched:
    watched = make_watched(server, alerts={"channels": ["ops-hook"], "emails": ["admins@gonogo.example"]})
    set_secret(application=watched.application, name="ops-hook", value=hook.url, actor=None)
    return watched


def due_now() -> None:
    AlertDelivery.objects.filter(delivered_at__isnull=True).update(next_attempt_at=timezone.now())


def test_every_channel_is_told(hooked: Watched, hook: Hook) -> None:
    record(hooked.probe, "ddd")
    assert deliver_due() == 2
    assert hook.got[0]["title"] == f"{hooked.production}: Front page is down"
    assert mail.outbox[0].subject == f"[Go/No-Go] {hooked.production}: Front page is down"
    assert mail.outbox[0].to == ["admins@gonogo.example"]
    assert Alert.objects.get().look == "sent"
    assert deliver_due() == 0, "nothing is sent twice"
    assert len(hook.got) == 1


def test_the_whole_installation_has_channels_of_its_own(watched: Watched, hook: Hook, settings: Any) -> None:
    settings.ALERT_URLS = [hook.url]
    record(watched.probe, "ddd")
    assert deliver_due() == 2
    assert len(hook.got) == 1
    assert sorted(AlertDelivery.objects.values_list("channel", flat=True)) == [
        "email:admins@gonogo.example",
        "setting:1",
    ]


def test_a_channel_that_is_away_is_tried_again_and_hinders_no_other(hooked: Watched, hook: Hook) -> None:
    hook.status = 503
    record(hooked.probe, "ddd")
    assert deliver_due() == 1
    waiting = AlertDelivery.objects.get(channel="secret:ops-hook")
    assert waiting.attempts == 1
    assert waiting.error
    assert "hidden-token" not in waiting.error
    assert waiting.next_attempt_at > timezone.now()
    assert deliver_due() == 0, "it waits before it tries again"
    hook.status = 200
    due_now()
    assert deliver_due() == 1
    assert len(hook.got) == 1


def test_it_gives_up_at_last_and_says_so(hooked: Watched, hook: Hook) -> None:
    hook.status = 500
    record(hooked.probe, "ddd")
    for _ in range(len(WAITS) + 3):
        due_now()
        deliver_due()
    given_up = AlertDelivery.objects.get(channel="secret:ops-hook")
    assert given_up.failed_at is not None
    assert given_up.attempts == len(WAITS) + 1
    assert given_up.error.startswith(f"Given up after {len(WAITS) + 1} attempts.")


def test_a_claimed_delivery_is_left_to_who_claimed_it(hooked: Watched, hook: Hook) -> None:
    record(hooked.probe, "ddd")
    later = timezone.now() + timedelta(seconds=60)
    AlertDelivery.objects.update(attempts=1, next_attempt_at=later)
    assert deliver_due() == 0
    assert hook.got == []


def test_a_missing_secret_is_named(server: LocalServer) -> None:
    watched = make_watched(server, alerts={"channels": ["not-set"]})
    record(watched.probe, "ddd")
    assert deliver_due() == 0
    assert "no secret called 'not-set'" in AlertDelivery.objects.get().error


def test_an_alert_without_a_channel_is_kept_as_failed(server: LocalServer) -> None:
    watched = make_watched(server, alerts={})
    record(watched.probe, "ddd")
    alert = Alert.objects.get()
    assert alert.look == "failed"
    assert not alert.deliveries.exists()


@pytest.mark.parametrize(
    ("url", "text", "masked"),
    [
        ("slack://TokenA/TokenB/TokenC", "failed with tokenA and TokenC", "failed with •••• and ••••"),
        ("json://user:secret1@host/x", "user:secret1 refused", "••••:•••• refused"),
        ("json://host/?key=abcdef", "bad key abcdef", "bad key ••••"),
    ],
)
def test_errors_hold_no_part_of_an_address(url: str, text: str, masked: str) -> None:
    assert without_secrets(text, url) == masked


def code_of(alert: Alert) -> str:
    return alert.body.rstrip().rsplit("/receipts/", 1)[1].strip("/")


def test_the_receipt_of_a_test_alert_answers_the_requirement(hooked: Watched, hook: Hook) -> None:
    release = hooked.release()
    alert = alerts.send_test_alert(release=release, actor=hooked.team.engineer)
    assert item(release).state == ItemState.OPEN
    assert deliver_due() == 2
    assert alert.receipt_code in hook.got[0]["message"]
    evidence = alerts.confirm_receipt(code=code_of(alert), actor=hooked.team.administrator)
    assert (evidence.source, evidence.kind, evidence.verdict) == ("receipt", "test-alert", "passed")
    assert evidence.build_digest == release.build_digest
    assert evidence.figures["channels"] == 2
    assert evidence.valid_until is not None
    assert item(release).state == ItemState.PASSED
    assert LedgerEntry.objects.filter(action="alert.test_sent", release_id=release.pk).exists()


def item(release: Any) -> Any:
    return next(one for one in item_statuses(release, timezone.now()) if one.item.receipt == "test-alert")


def test_what_was_not_delivered_cannot_be_confirmed(hooked: Watched, hook: Hook, settings: Any) -> None:
    hook.status = 500
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    release = hooked.release()
    alert = alerts.send_test_alert(release=release, actor=hooked.team.engineer)
    assert deliver_due() == 0
    with pytest.raises(DomainError, match="was not delivered by any channel"):
        alerts.confirm_receipt(code=alert.receipt_code, actor=hooked.team.administrator)
    assert item(release).state == ItemState.OPEN
    assert "The mail server did not take it" in alert.deliveries.get(channel__startswith="email").error


def test_it_is_confirmed_once(hooked: Watched) -> None:
    alert = alerts.send_test_alert(release=hooked.release(), actor=hooked.team.engineer)
    deliver_due()
    alerts.confirm_receipt(code=alert.receipt_code, actor=hooked.team.administrator)
    with pytest.raises(StateChanged):
        alerts.confirm_receipt(code=alert.receipt_code, actor=hooked.team.manager)


def test_it_is_confirmed_within_a_day(hooked: Watched) -> None:
    alert = alerts.send_test_alert(release=hooked.release(), actor=hooked.team.engineer)
    deliver_due()
    Alert.objects.filter(pk=alert.pk).update(created_at=timezone.now() - timedelta(hours=25))
    with pytest.raises(DomainError, match="older than 24 hours"):
        alerts.confirm_receipt(code=alert.receipt_code, actor=hooked.team.administrator)


def test_only_who_receives_alerts_confirms(hooked: Watched) -> None:
    alert = alerts.send_test_alert(release=hooked.release(), actor=hooked.team.engineer)
    deliver_due()
    for person in (hooked.team.viewer, hooked.team.auditor, UserFactory()):
        with pytest.raises(NotAllowed):
            alerts.confirm_receipt(code=alert.receipt_code, actor=person)


def test_a_wrong_code_says_nothing(hooked: Watched) -> None:
    with pytest.raises(DomainError, match="no such test alert"):
        alerts.confirm_receipt(code="guessed", actor=hooked.team.administrator)


def test_a_viewer_sends_no_test_alert(hooked: Watched) -> None:
    with pytest.raises(NotAllowed):
        alerts.send_test_alert(release=hooked.release(), actor=hooked.team.viewer)


def test_without_a_channel_nothing_is_sent(server: LocalServer, storage_folder: object) -> None:
    watched = make_watched(server, alerts={})
    with pytest.raises(DomainError, match="names no alert channel"):
        alerts.send_test_alert(release=watched.release(), actor=watched.team.engineer)
