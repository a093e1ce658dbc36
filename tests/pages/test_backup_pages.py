"""The pages of backups and schedules: what they show, and what each button does."""

import json
import re
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from checks.models import Run, Schedule
from releases.enums import Role
from releases.models import Application
from tests.engine.support import check, stored
from tests.engine.test_schedules import made
from tests.factories import make_application, member
from tests.pages.test_open_pages import browser

pytestmark = pytest.mark.django_db
CHECKS = {
    "backup": check("backup", "production"),
    "retention": check("retention", "production", params={"hourly": 0, "daily": 2, "weekly": 0, "monthly": 0,
                                                            "yearly": 0}),
}  # fmt: skip


@pytest.fixture
def application() -> Application:
    return make_application(plan={"checks": CHECKS, "recovery": {"rpo": "12h"}})


def backups(application: Application) -> str:
    return reverse("checks:backups", args=[application.slug, "production"])


def test_it_shows_what_there_is_and_what_retention_would_do(application: Application) -> None:
    for days in (1, 2, 3, 4):
        stored(application, timedelta(days=days))
    stored(application, timedelta(days=1, hours=2), fault="The object was changed.")
    page = browser(member(application, Role.VIEWER)).get(backups(application)).content.decode()
    assert "Retention would now keep 3 and remove 2" in page
    assert "Late." in page
    assert "The newest verified backup is 1 d old" in page
    assert "A backup is faulty." in page
    assert "verified" in page
    assert "<title>" in page


def test_it_tells_which_keys_are_needed_and_which_one_nobody_has(application: Application, settings: object) -> None:
    settings.BACKUP_KEYS = {"k2": b"2" * 32, "k1": b"1" * 32}  # type: ignore[attr-defined]
    for number, key in enumerate(("k2", "k1", "k1")):
        stored(application, timedelta(hours=number), key_id=key)
    page = browser(member(application, Role.VIEWER)).get(backups(application)).content.decode()
    assert "<code>k2</code> for 1, which seals new ones; <code>k1</code> for 2, kept for opening." in page
    assert "A key is missing." not in page
    stored(application, timedelta(days=3), key_id="k0")
    page = browser(member(application, Role.VIEWER)).get(backups(application)).content.decode()
    assert "A key is missing." in page
    assert "1 backup(s) here can be opened by nobody." in page
    assert "<code>k0</code> for 1 (missing in the ring)" in page


def test_the_widest_gap_is_that_between_backups_as_they_were_taken_also_those_that_retention_removed(
    application: Application,
) -> None:
    for hours in range(30):
        stored(application, timedelta(hours=hours), **({"removed_at": timezone.now()} if hours % 24 else {}))
    page = browser(member(application, Role.VIEWER)).get(backups(application)).content.decode()
    assert "<dd>1 h</dd><dd>the widest gap" in page


def test_without_a_backup_it_says_so(application: Application) -> None:
    page = browser(member(application, Role.VIEWER)).get(backups(application)).content.decode()
    assert "No backups yet" in page
    assert "Nothing is scheduled here." in page


@pytest.mark.campaign
def test_the_calendar_shows_twelve_weeks_with_size_and_age_however_many_there_are(application: Application) -> None:
    """Hourly ones that retention thinned out are more than the list's first pages hold."""
    for hours in range(600):
        stored(application, timedelta(hours=hours + 1), removed_at=timezone.now() if hours % 24 else None)
    stored(application, timedelta(days=60), stored_bytes=7_000_000)
    stored(application, timedelta(days=50), missing_at=timezone.now())
    page = browser(member(application, Role.VIEWER)).get(backups(application)).content.decode()
    days = dict(re.findall(r"<title>[A-Z][a-z]{2} \d\d [A-Z][a-z]{2} \d{4}, (.*?): (.*?)</title>", page))
    assert days["60 days ago"] == "1 backup, 7.0 MB, verified"
    assert days["50 days ago"] == "1 backup missing from storage, 0 there"
    assert days["40 days ago"] == "no backup"
    assert days["today"]


def test_the_list_takes_as_many_queries_for_thirty_as_for_three(
    application: Application, django_assert_max_num_queries: object
) -> None:
    client = browser(member(application, Role.VIEWER))
    for days in range(30):
        stored(application, timedelta(days=days, seconds=1))
    with django_assert_max_num_queries(26):  # type: ignore[operator]
        client.get(backups(application))


def test_it_can_be_had_as_csv_and_json(application: Application) -> None:
    stored(application, timedelta(days=1))
    client = browser(member(application, Role.AUDITOR))
    rows = json.loads(b"".join(client.get(f"{backups(application)}?format=json")))  # type: ignore[arg-type]
    assert [(row["state"], row["stored_bytes"]) for row in rows] == [("verified", 10)]
    text = b"".join(client.get(f"{backups(application)}?format=csv")).decode()  # type: ignore[arg-type]
    assert text.startswith("manifest_key,snapshot_at")


def test_a_backup_of_nothing_readable_still_has_a_page(application: Application, storage_folder: object) -> None:
    row = stored(application, timedelta(days=1))
    address = reverse("checks:backup", args=[application.slug, "production", row.pk])
    page = browser(member(application, Role.VIEWER)).get(address)
    assert page.status_code == 200
    assert "Its manifest cannot be read." in page.content.decode()


def test_an_engineer_starts_a_backup_without_a_release(application: Application) -> None:
    address = reverse("checks:backup_start", args=[application.slug, "production"])
    client = browser(member(application, Role.ENGINEER))
    answer = client.post(address, {"section": "checks.backup"}, follow=True)
    run = Run.objects.get()
    assert (run.release, run.kind) == (None, "backup")
    assert answer.status_code == 200
    assert client.post(address, {"section": "checks.other"}).status_code == 404


def test_a_viewer_starts_nothing_and_a_stranger_sees_nothing(application: Application) -> None:
    address = reverse("checks:backup_start", args=[application.slug, "production"])
    browser(member(application, Role.VIEWER)).post(address, {"section": "checks.backup"})
    assert not Run.objects.exists()
    stranger = browser(member(make_application(), Role.ADMINISTRATOR))
    for path in (backups(application), reverse("checks:schedules", args=[application.slug])):
        assert stranger.get(path).status_code == 404


def test_a_schedule_is_made_changed_paused_resumed_started_and_removed_by_hand(application: Application) -> None:
    client = browser(member(application, Role.RELEASE_MANAGER))
    new = reverse("checks:schedule_new", args=[application.slug])
    assert client.get(new).status_code == 200
    sent = {"section": "checks.backup", "every": "week", "at": "03:15", "weekday": "6", "zone": "Europe/Berlin"}
    assert client.post(new, sent).status_code == 302
    schedule = Schedule.objects.get()
    assert (schedule.cron, schedule.zone) == ("15 3 * * 6", "Europe/Berlin")
    page = client.get(reverse("checks:schedules", args=[application.slug])).content.decode()
    assert "every Saturday at 03:15" in page
    change = reverse("checks:schedule_change", args=[schedule.pk])
    assert client.post(change, {"every": "cron", "cron": "*/30 * * * *", "zone": "UTC"}).status_code == 302
    pause = reverse("checks:schedule_pause", args=[schedule.pk])
    assert client.post(pause, {"reason": ""}).status_code == 422
    assert client.post(pause, {"reason": "the disk is exchanged"}).status_code == 302
    schedule.refresh_from_db()
    assert (schedule.cron, schedule.paused) == ("*/30 * * * *", True)
    client.post(reverse("checks:schedule_resume", args=[schedule.pk]))
    schedule.refresh_from_db()
    assert not schedule.paused
    client.post(reverse("checks:schedule_start", args=[schedule.pk]))
    assert Run.objects.get().started_by is not None
    client.post(reverse("checks:schedule_remove", args=[schedule.pk]))
    assert not Schedule.objects.exists()


def test_a_rhythm_without_its_time_is_refused_at_its_field(application: Application) -> None:
    client = browser(member(application, Role.RELEASE_MANAGER))
    new = reverse("checks:schedule_new", args=[application.slug])
    answer = client.post(new, {"section": "checks.backup", "every": "day", "zone": "Nowhere/Else"})
    assert answer.status_code == 422
    assert "This rhythm needs it." in answer.content.decode()
    sent = {"section": "checks.backup", "every": "day", "at": "02:00", "zone": "Nowhere/Else"}
    assert "There is no time zone" in client.post(new, sent).content.decode()
    assert not Schedule.objects.exists()


def test_a_missed_one_is_shown(application: Application) -> None:
    Schedule.objects.filter(pk=made(application).pk).update(missed_at=timezone.now())
    page = browser(member(application, Role.VIEWER)).get(reverse("checks:schedules", args=[application.slug]))
    assert "Missed" in page.content.decode()
