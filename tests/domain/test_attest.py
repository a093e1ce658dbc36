"""An attested item: a person's word counts only with evidence and until a moment that they name."""

import hashlib
import io
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from releases.domain import evidence, gate
from releases.domain.defaults import checklist_for
from releases.domain.items import ItemStatus, item_statuses
from releases.enums import ItemState
from releases.errors import DomainError
from releases.models import ChecklistItem, Evidence, LedgerEntry, Release
from tests.factories import Team, answer, schedule

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage_folder")]
KEY = "security.at_rest"
SAID = "LUKS on every disk of production; keys in the vault of Operations, changed in May."
LINK = "https://vault.example.org/reports/7"


def days(number: float) -> datetime:
    return timezone.now() + timedelta(days=number)


def attest(release: Release, team: Team, **more: Any) -> Evidence:
    item = release.items.get(key=KEY)
    return evidence.sign_off(item=item, author=team.engineer, **{"statement": SAID, "valid_until": days(90), **more})


def now(release: Release, at: datetime | None = None) -> ItemStatus:
    return next(each for each in item_statuses(release, at or timezone.now()) if each.item.key == KEY)


def test_encryption_at_rest_blocks_until_it_is_attested_with_a_file_and_an_end(release: Release, team: Team) -> None:
    assert (now(release).state, now(release).item.attested, now(release).item.blocking) == (ItemState.OPEN, True, True)
    signed = attest(release, team, attachment=("disks.txt", io.BytesIO(b"crypt aes-xts")))
    assert (now(release).state, now(release).valid_until) == (ItemState.PASSED, signed.valid_until)
    entry = LedgerEntry.objects.get(action="evidence.recorded", subject_id=str(signed.pk))
    assert entry.document["artifacts"] == [
        {"name": "disks.txt", "sha256": hashlib.sha256(b"crypt aes-xts").hexdigest()}
    ]
    assert entry.document["valid_until"] == signed.valid_until.isoformat()


def test_a_link_with_what_it_shows_is_evidence_too_and_stands_in_the_ledger(release: Release, team: Team) -> None:
    signed = attest(release, team, link=LINK, link_note="The vault's report of May, page 3.")
    assert now(release).state == ItemState.PASSED
    entry = LedgerEntry.objects.get(action="evidence.recorded", subject_id=str(signed.pk))
    assert (entry.document["link"], entry.document["link_note"]) == (LINK, "The vault's report of May, page 3.")


@pytest.mark.parametrize(
    ("given", "field", "why"),
    [
        ({}, "attachment", "attach the evidence, or link to it"),
        ({"link": LINK, "link_note": "x", "valid_until": None}, "valid_until", "say until when that holds"),
        ({"link": LINK}, "link_note", "Say what the link shows"),
        ({"link_note": "Page 3."}, "link", "needs the link"),
        ({"link": "javascript:alert(1)", "link_note": "x"}, "link", "begins with https://"),
        ({"link": "https://[x", "link_note": "x"}, "link", "begins with https://"),
        ({"link": "https://me:secret@vault.example/7", "link_note": "x"}, "link", "holds a name or a password"),
        ({"link": f"https://a.example/{'x' * 1000}", "link_note": "x"}, "link", "at most 1000 characters"),
        ({"link": LINK, "link_note": "x" * 501}, "link_note", "longer than 500"),
    ],
)
def test_what_is_no_evidence_is_refused_at_its_field(
    release: Release, team: Team, given: dict[str, Any], field: str, why: str
) -> None:
    with pytest.raises(DomainError, match=why) as refused:
        attest(release, team, **given)
    assert refused.value.field == field
    assert not Evidence.objects.exists()


@pytest.mark.parametrize("number", [-1, 0, 367])
def test_an_end_lies_ahead_and_at_most_a_year(release: Release, team: Team, number: int) -> None:
    with pytest.raises(DomainError, match="at most 366 days from now") as refused:
        attest(release, team, link=LINK, link_note="x", valid_until=days(number))
    assert refused.value.field == "valid_until"


def test_that_it_does_not_hold_needs_no_evidence_and_blocks(release: Release, team: Team) -> None:
    attest(release, team, passed=False, statement="The copies in the archive are plain.", valid_until=None)
    assert (now(release).state, now(release).reason) == (ItemState.FAILED, "The copies in the archive are plain.")
    assert gate.evaluate(release).verdict == "no_go"


def test_it_ends_by_itself_and_says_so_before_the_window_does(release: Release, team: Team) -> None:
    schedule(release, team.manager, opens=days(5))
    attest(release, team, link=LINK, link_note="x", valid_until=days(2))
    assert now(release).state == ItemState.EXPIRING
    assert now(release, days(3)).state == ItemState.EXPIRED


def test_a_signature_from_before_it_was_to_be_attested_counts_no_longer(release: Release) -> None:
    answer(release.items.get(key="security.review"))
    item = release.items.filter(key="security.review")
    item.update(attested=True)
    found = next(each for each in item_statuses(release, timezone.now()) if each.item.key == "security.review")
    assert (found.state, "without evidence or without an end" in found.reason) == (ItemState.OPEN, True)


def test_a_plan_makes_another_item_an_attested_one_but_not_one_that_a_run_answers(release: Release) -> None:
    document = {
        **release.plan_version.document,
        "checklist": [{"key": "recovery.failover", "attested": True}, {"key": KEY, "attested": False}],
    }
    specs = {spec.key: spec for spec in checklist_for(document, source="staging", target="production")}
    assert (specs["recovery.failover"].attested, specs[KEY].attested) == (True, False)
    assert not ChecklistItem.objects.filter(release=release, attested=True).exclude(key=KEY).exists()


def test_the_database_refuses_a_link_of_which_nobody_says_what_it_shows(release: Release, team: Team) -> None:
    item = release.items.get(key=KEY)
    with pytest.raises(IntegrityError, match="evidence_link_says_what"), transaction.atomic():
        answer(item, author=team.engineer, link=LINK, link_note="")
