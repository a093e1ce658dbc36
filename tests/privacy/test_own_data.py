"""One person's data in the program itself: all of it in a file, and erased without breaking the ledger."""

import csv
import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from monitoring.domain.alert import raise_alert
from monitoring.enums import AlertKind
from releases.domain import ledger
from releases.domain.checklist import approve_waiver, request_waiver
from releases.domain.person import erase, everything_about
from releases.enums import Role
from releases.errors import DomainError
from releases.models import CaseResult, LedgerEntry, Membership, Release, User
from tests.factories import CHECKS, Team, launched, make_application, make_release, make_team, member

pytestmark = pytest.mark.django_db(transaction=True)


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


def entered(user: User) -> Client:
    """Logged in, with the password given once more, as what cannot be undone asks for."""
    client = browser(user)
    assert client.post(reverse("account_reauthenticate"), {"password": "password"}).status_code == 302
    return client


@pytest.fixture
def team_and_release() -> tuple[Team, Release]:
    application = make_application(plan={"checks": CHECKS})
    team = make_team(application)
    return team, make_release(application=application, requester=team.manager)


def parts(answer: Any) -> str:
    return b"".join(answer.streaming_content).decode()


def test_a_person_gets_everything_that_is_kept_of_them_and_nothing_of_others(
    team_and_release: tuple[Team, Release],
) -> None:
    team, _ = team_and_release
    manager, other = team.manager, team.engineer
    client = browser(manager)
    answer = client.post(reverse("releases:personal_data"), {"format": "json"})
    assert "attachment" in answer["Content-Disposition"]
    kept = json.loads(parts(answer))
    sources = {row["source"] for row in kept}
    assert {"user", "membership", "release", "session", "ledger entry"} <= sources
    account = next(row["values"] for row in kept if row["source"] == "user")
    assert (account["email"], account["name"]) == (manager.email, manager.name)
    assert "password" not in account
    assert manager.password not in json.dumps(kept)
    assert other.email not in json.dumps(kept)
    assert {row["values"]["action"] for row in kept if row["source"] == "ledger entry"} >= {"person.exported"}
    lines = list(csv.reader(io.StringIO(parts(client.post(reverse("releases:personal_data"), {"format": "csv"})))))
    assert lines[0] == ["source", "record", "as", "field", "value"]
    assert ["user", str(manager.pk), "the account", "email", manager.email] in lines
    assert Client().post(reverse("releases:personal_data")).status_code == 302


def test_who_sent_a_test_alert_cannot_read_its_receipt_in_their_data(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    alert = raise_alert(
        application=release.application, kind=AlertKind.TEST, subject="A test", body="Confirm: /receipts/the-code",
        release=release, actor=team.engineer, code="the-code",
    )  # fmt: skip
    kept = json.loads(parts(browser(team.engineer).post(reverse("releases:personal_data"), {"format": "json"})))
    assert [row["record"] for row in kept if row["source"] == "alert"] == [str(alert.pk)]
    assert "the-code" not in json.dumps(kept)


def test_whoever_erases_their_account_becomes_a_pseudonym_and_the_ledger_still_verifies(
    team_and_release: tuple[Team, Release],
) -> None:
    team, release = team_and_release
    approver = team.approvers["security"]
    name, email = approver.name, approver.email
    client, elsewhere = entered(approver), browser(approver)
    page = reverse("releases:erase_person")
    assert name in client.get(reverse("releases:person")).content.decode()
    refused = client.post(page, {"email": "somebody@gonogo.example", "reason": "x"})
    assert (refused.status_code, User.objects.get(pk=approver.pk).email) == (422, email)
    before = LedgerEntry.objects.count()
    client.post(page, {"email": email.upper(), "reason": "At my own wish."})
    erased = User.objects.get(pk=approver.pk)
    assert (erased.name, erased.email) == (f"Erased person {erased.pk}", f"erased-{erased.pk}@erased.invalid")
    assert (erased.is_active, erased.has_usable_password(), erased.memberships.exists()) == (False, False, False)
    assert elsewhere.get(reverse("releases:person")).status_code == 302
    assert everywhere_but_in_the_ledger(name, email) == []
    # What was written from then on does not name the person, and nothing sealed was touched.
    entry = LedgerEntry.objects.get(action="person.erased")
    assert email not in json.dumps(entry.document) + entry.actor_name
    assert LedgerEntry.objects.count() == before + 2
    assert ledger.verify().problem is None
    with pytest.raises(DomainError, match="erased already"):
        erase(person=erased, actor=None, reason="again")
    assert release.requester != erased


def test_a_browser_left_open_erases_nothing(team_and_release: tuple[Team, Release]) -> None:
    team, _ = team_and_release
    client, page = browser(team.viewer), reverse("releases:erase_person")
    for answer in (client.get(page), client.post(page, {"email": team.viewer.email, "reason": "A prank."})):
        assert answer.status_code == 302
        assert answer["Location"].startswith(reverse("account_reauthenticate"))
    team.viewer.refresh_from_db()
    assert not team.viewer.is_erased
    assert entered(team.viewer).get(page).status_code == 200


def test_the_only_release_manager_of_a_release_that_failed_erases_nothing(
    team_and_release: tuple[Team, Release],
) -> None:
    team, release = team_and_release
    launched(release, team, "failed")
    with pytest.raises(DomainError, match="nobody could roll it back"):
        erase(person=team.manager, actor=None, reason="A wish.")
    team.manager.refresh_from_db()
    assert team.manager.is_active
    member(release.application, Role.RELEASE_MANAGER)
    erase(person=team.manager, actor=None, reason="A wish.")


def test_entries_about_somebody_with_a_longer_address_are_not_ones_own() -> None:
    ann = User.objects.create_user("ann@example.org", "password", name="Ann")
    texts = {
        "mine": [
            "ann@example.org",
            "to <ANN@example.org>.",
            "Told:\nann@example.org, and others",
            "mailto:ann@example.org",
        ],
        "others": [
            "joann@example.org",
            "jo.ann@example.org",
            "ann@example.org.uk",
            "ann@example.organic",
            "x+ann@example.org",
        ],
    }
    for whose, found in texts.items():
        for text in found:
            with transaction.atomic():
                ledger.append(action="user.invited", actor=None, subject=None, document={"name": whose, "text": text})
    told = [row.values["document"] for row in everything_about(person=ann, actor=None) if row.source == "ledger entry"]
    assert [each["text"] for each in told if each.get("name") == "mine"] == texts["mine"]
    assert not [each for each in told if each.get("name") == "others"]


@pytest.mark.usefixtures("storage_folder")
def test_each_row_says_what_it_is_about(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    approver, other = team.approvers["security"], team.manager
    item = release.items.get(key="scalability.load")
    waiver = request_waiver(
        item=item, requester=approver, reason="The lab is closed.", expires_at=timezone.now() + timedelta(days=3)
    )
    approve_waiver(waiver=waiver, approver=team.approvers["engineering"])
    kept = CaseResult.objects.create(
        release=release, case="join", case_digest="c" * 64, build_digest=release.build_digest, verdict="passed",
        screenshot={"name": "a.png", "key": "acceptance/a.png", "size": 3, "sha256": "d" * 64}, tester=approver,
        recorded_at=timezone.now(),
    )  # fmt: skip
    rows = {row.source: row.values for row in everything_about(person=approver, actor=None)}
    application = {"id": str(release.application_id), "name": str(release.application)}
    assert rows["membership"]["application"] == application
    assert rows["waiver"]["item"] == {"id": str(item.pk), "name": str(item)}
    assert rows["waiver"]["approved_by"] == {"id": str(team.approvers["engineering"].pk)}
    assert rows["case result"]["release"] == {"id": str(release.pk), "name": str(release)}
    assert rows["case result"]["screenshot"] == kept.screenshot
    assert other.name not in json.dumps(rows, default=str)


def test_alerts_name_the_pseudonym_after_an_erasure(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    User.objects.filter(pk=team.viewer.pk).update(name="Ann")
    alert = raise_alert(
        application=release.application, kind=AlertKind.NOTICE, subject="For Ann",
        body=f"The acceptance of Ann ({team.viewer.email.upper()}) ends; see the Annual report of ann.example.",
    )  # fmt: skip
    erase(person=User.objects.get(pk=team.viewer.pk), actor=None, reason="A wish.")
    alert.refresh_from_db()
    name = f"Erased person {team.viewer.pk}"
    assert alert.subject == f"For {name}"
    assert alert.body == f"The acceptance of {name} ({name}) ends; see the Annual report of ann.example."


def everywhere_but_in_the_ledger(*texts: str) -> list[str]:
    """Tables in which one of the texts still stands, whatever the column; asked of the database itself."""
    found = []
    wanted = [f"%{text}%" for text in texts]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT format('%I', tablename) FROM pg_tables WHERE schemaname = current_schema()"
            " AND tablename <> 'releases_ledgerentry'"
        )
        for (table,) in cursor.fetchall():
            cursor.execute(f"SELECT count(*) FROM {table} AS t WHERE t::text ILIKE ANY (%s)", [wanted])
            if cursor.fetchone()[0]:
                found.append(table)
    return found


def test_the_last_administrator_names_another_one_first(team_and_release: tuple[Team, Release]) -> None:
    team, release = team_and_release
    answer = entered(team.administrator).post(
        reverse("releases:erase_person"), {"email": team.administrator.email, "reason": "x"}
    )
    assert answer.status_code == 422
    assert "needs an administrator who can log in; name another one first" in answer.content.decode()
    team.administrator.refresh_from_db()
    assert team.administrator.is_active
    assert Membership.objects.filter(user=team.administrator).exists()
    member(release.application, Role.ADMINISTRATOR)
    call_command("erase_person", team.administrator.email, "--reason", "Left the company.")
    team.administrator.refresh_from_db()
    assert team.administrator.name == f"Erased person {team.administrator.pk}"
    with pytest.raises(CommandError, match="There is no account"):
        call_command("erase_person", "nobody@gonogo.example", "--reason", "x")


def test_a_command_exports_at_a_persons_request(
    team_and_release: tuple[Team, Release], capsys: pytest.CaptureFixture[str]
) -> None:
    team, _ = team_and_release
    call_command("export_person", team.viewer.email)
    assert team.viewer.email in json.dumps(json.loads(capsys.readouterr().out))
