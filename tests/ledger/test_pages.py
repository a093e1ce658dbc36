"""The pages of the ledger, for each kind of reader."""

import csv
import hashlib
import io
import json
import zipfile
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.test import AsyncClient, Client
from django.urls import reverse

from releases.domain import ledger
from releases.enums import Role
from releases.models import Application, LedgerEntry, LedgerVerification, User
from tests.factories import ApplicationFactory, ReleaseFactory, UserFactory, member
from tests.ledger_support import tampering, write

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage_folder")]

LIST = "/ledger/"


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


@pytest.fixture
def application() -> Application:
    return ApplicationFactory()


@pytest.fixture
def auditor(application: Application) -> Client:
    return logged_in(member(application, Role.AUDITOR))


@pytest.fixture
def engineer(application: Application) -> Client:
    return logged_in(member(application, Role.ENGINEER))


def numbers(answer: Any) -> list[int]:
    return [entry.sequence for entry in answer.context["part"].entries]


def test_a_stranger_is_sent_to_the_log_in() -> None:
    assert Client().get(LIST).status_code == 302


def test_a_person_without_a_role_sees_no_entry(application: Application) -> None:
    write(3, application=application)
    answer = logged_in(UserFactory()).get(LIST)
    assert answer.status_code == 200
    assert numbers(answer) == []


def test_an_auditor_sees_the_entries_of_the_application_and_those_of_none(
    auditor: Client, application: Application
) -> None:
    other = ApplicationFactory()
    write(1, action="test.ours", application=application)
    write(1, action="test.others", application=other)
    write(1, action="test.nobodys")
    actions = {entry.action for entry in auditor.get(LIST).context["part"].entries}
    assert {"test.ours", "test.nobodys"} <= actions
    assert "test.others" not in actions


def test_an_engineer_sees_the_entries_of_the_application_only(engineer: Client, application: Application) -> None:
    write(1, action="test.ours", application=application)
    write(1, action="test.nobodys")
    actions = {entry.action for entry in engineer.get(LIST).context["part"].entries}
    assert "test.ours" in actions
    assert "test.nobodys" not in actions


@pytest.mark.parametrize("count", [1, 60])
def test_the_list_takes_a_fixed_number_of_queries(
    auditor: Client, application: Application, count: int, django_assert_num_queries: Any
) -> None:
    write(count, application=application)
    auditor.get(LIST)
    with django_assert_num_queries(12):
        auditor.get(LIST)


def test_pages_lead_from_the_newest_to_the_oldest_and_back(auditor: Client, application: Application) -> None:
    write(120, application=application)
    everything = list(LedgerEntry.objects.order_by("-sequence").values_list("sequence", flat=True))
    first = auditor.get(LIST)
    assert numbers(first) == everything[:50]
    assert first.context["part"].newer is None
    second = auditor.get(LIST, {"before": first.context["part"].older})
    assert numbers(second) == everything[50:100]
    third = auditor.get(LIST, {"before": second.context["part"].older})
    assert numbers(third) == everything[100:]
    assert third.context["part"].older is None
    back = auditor.get(LIST, {"after": third.context["part"].newer})
    assert numbers(back) == numbers(second)
    assert numbers(auditor.get(LIST, {"after": back.context["part"].newer})) == everything[:50]


@pytest.mark.parametrize("place", ["x", "-1", "9" * 30])
def test_a_page_that_cannot_be_is_not_found(auditor: Client, place: str) -> None:
    assert auditor.get(LIST, {"before": place}).status_code == 404


class TestFilters:
    """Each filter alone finds exactly its entry."""

    RELEASE = UUID(int=5)

    @pytest.fixture
    def special(self, application: Application) -> LedgerEntry:
        actor = UserFactory(name="Ada Lovelace")
        write(3, application=application)
        with transaction.atomic():
            ledger.append(
                action="test.special",
                actor=actor,
                subject_type="risk",
                subject_id="data-loss",
                application=application,
                document={"comment": 'He said "now", 50 % sure: Überfällig'},
            )
        ledger.seal_now()
        return LedgerEntry.objects.get(action="test.special")

    @pytest.mark.parametrize("text", ["special", "lovelace", "data-loss", "50 % sure", "überfällig", "SAID", "risk"])
    def test_by_text(self, auditor: Client, special: LedgerEntry, text: str) -> None:
        assert numbers(auditor.get(LIST, {"q": text})) == [special.sequence]

    def test_by_hash(self, auditor: Client, special: LedgerEntry) -> None:
        assert numbers(auditor.get(LIST, {"q": bytes(special.hash or b"").hex()})) == [special.sequence]

    def test_by_number(self, auditor: Client, special: LedgerEntry) -> None:
        assert special.sequence in numbers(auditor.get(LIST, {"q": str(special.sequence)}))

    def test_by_action_and_person(self, auditor: Client, special: LedgerEntry) -> None:
        assert numbers(auditor.get(LIST, {"action": "test.special"})) == [special.sequence]
        assert numbers(auditor.get(LIST, {"actor": special.actor_id})) == [special.sequence]

    def test_by_application(self, auditor: Client, special: LedgerEntry, application: Application) -> None:
        write(1, action="test.nobodys")
        found = auditor.get(LIST, {"application": application.pk}).context["part"].entries
        assert {entry.application_id for entry in found} == {application.pk}

    def test_by_day(self, auditor: Client, special: LedgerEntry) -> None:
        day = special.at.date().isoformat()
        assert special.sequence in numbers(auditor.get(LIST, {"since": day, "until": day}))
        assert numbers(auditor.get(LIST, {"since": "2999-01-01"})) == []
        assert numbers(auditor.get(LIST, {"until": "2001-01-01"})) == []

    def test_what_makes_no_sense_is_told_and_finds_nothing(self, auditor: Client, special: LedgerEntry) -> None:
        answer = auditor.get(LIST, {"since": "yesterday", "action": "test.unknown"})
        assert answer.status_code == 422
        assert numbers(answer) == []
        assert set(answer.context["form"].errors) == {"since", "action"}

    def test_another_application_cannot_be_asked_for(self, auditor: Client, special: LedgerEntry) -> None:
        assert auditor.get(LIST, {"application": ApplicationFactory().pk}).status_code == 422


class TestExport:
    """The whole filtered list, not just the page."""

    def test_as_csv_without_formulas(self, auditor: Client, application: Application) -> None:
        write(60, action="test.many", application=application)
        write(1, action="test.many", application=application, subject_type="risk", subject_id="=HYPERLINK(1)")
        answer = auditor.get(LIST, {"action": "test.many", "format": "csv"})
        assert answer["Content-Disposition"].startswith('attachment; filename="ledger-')
        rows = list(csv.DictReader(io.StringIO(b"".join(answer).decode())))
        assert len(rows) == 61
        assert rows[0]["subject_id"] == "'=HYPERLINK(1)"
        assert json.loads(rows[1]["document"])["text"] == "Grüße"

    def test_as_json(self, auditor: Client, application: Application) -> None:
        write(3, action="test.many", application=application)
        answer = auditor.get(LIST, {"action": "test.many", "format": "json"})
        rows = json.loads(b"".join(answer))
        assert [row["document"]["number"] for row in rows] == [2, 1, 0]
        nothing = auditor.get(LIST, {"q": "no such thing", "format": "json"})
        assert json.loads(b"".join(nothing)) == []


class TestEntry:
    """The page of one entry."""

    def test_it_shows_before_and_after_the_bytes_and_the_proof(self, auditor: Client, application: Application) -> None:
        with transaction.atomic():
            ledger.append(
                action="release.changed",
                actor=None,
                application=application,
                document={"before": {"state": "draft"}, "after": {"state": "live"}, "reason": "<b>because</b>"},
            )
        ledger.seal_now()
        entry = LedgerEntry.objects.latest("sequence")
        ledger.checkpoint()
        answer = auditor.get(reverse("releases:ledger_entry", args=[entry.sequence]))
        text = answer.content.decode()
        assert answer.context["changes"] == [("state", "draft", "live", True)]
        assert answer.context["proof"].state == "verified"
        assert bytes(entry.hash or b"").hex() in text
        assert "&lt;b&gt;because" in text
        assert "<b>because" not in text

    def test_without_a_checkpoint_it_says_so(self, auditor: Client, application: Application) -> None:
        write(1, application=application)
        entry = LedgerEntry.objects.latest("sequence")
        proof = auditor.get(f"/ledger/{entry.sequence}/").context["proof"]
        assert proof.state == "unchecked"

    def test_a_changed_entry_is_shown_as_broken(self, auditor: Client, application: Application) -> None:
        write(2, application=application)
        entry = LedgerEntry.objects.latest("sequence")
        ledger.checkpoint()
        with tampering() as cursor:
            cursor.execute("UPDATE releases_ledgerentry SET canonical = 'x' WHERE sequence = %s", [entry.sequence])
        answer = auditor.get(f"/ledger/{entry.sequence}/")
        assert answer.context["proof"].state == "broken"
        assert "does not hold" in answer.content.decode()

    def test_an_entry_of_another_application_is_not_found(self, auditor: Client) -> None:
        write(1, application=ApplicationFactory())
        entry = LedgerEntry.objects.latest("sequence")
        assert auditor.get(f"/ledger/{entry.sequence}/").status_code == 404


@pytest.mark.django_db(transaction=True)
class TestVerification:
    """The button and its page."""

    def test_a_short_chain_is_verified_at_once(self, auditor: Client, application: Application) -> None:
        write(5, application=application)
        answer = auditor.post("/ledger/verify", follow=True)
        row = LedgerVerification.objects.get()
        assert row.state == "passed"
        assert f"All {row.position} entries hold" in answer.content.decode()
        assert LedgerEntry.objects.latest("sequence").action == "ledger.verified"

    def test_a_broken_chain_names_the_entry_and_links_to_it(self, auditor: Client, application: Application) -> None:
        write(5, application=application)
        bad = LedgerEntry.objects.latest("sequence").sequence
        with tampering() as cursor:
            cursor.execute("UPDATE releases_ledgerentry SET action = 'test.other' WHERE sequence = %s", [bad])
        text = auditor.post("/ledger/verify", follow=True).content.decode()
        assert f"Entry {bad} was changed" in text
        assert f'href="/ledger/{bad}/"' in text

    def test_a_long_chain_shows_progress_and_goes_on(self, auditor: Client, application: Application) -> None:
        write(30, application=application)
        row = ledger.start_verification(actor=None)
        row = ledger.advance_verification(verification_id=row.pk, seconds=0, rows=10)
        address = f"/ledger/verifications/{row.pk}/"
        text = auditor.get(address).content.decode()
        assert f"10 of {row.target} entries hold so far" in text
        assert "<progress" in text
        fragment = auditor.post(address, headers={"HX-Request": "true"})
        assert "entries hold: their bytes" in fragment.content.decode()
        assert "<html" not in fragment.content.decode()
        assert LedgerVerification.objects.get().state == "passed"

    def test_an_engineer_may_not_verify_and_reads_why(self, engineer: Client) -> None:
        text = engineer.get(LIST).content.decode()
        assert "Verifying takes the role auditor, release manager or administrator" in text
        assert engineer.post("/ledger/verify").status_code == 403
        assert not LedgerVerification.objects.exists()

    def test_verifying_takes_a_post(self, auditor: Client) -> None:
        assert auditor.get("/ledger/verify").status_code == 405


@pytest.mark.django_db(transaction=True)
class TestDownload:
    """The bundles."""

    def test_an_auditor_of_everything_downloads_the_chain(self, auditor: Client, application: Application) -> None:
        write(3, application=application)
        answer = auditor.post("/ledger/chain")
        assert answer.status_code == 200
        data = b"".join(answer)
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert json.loads(archive.read("manifest.json"))["kind"] == "chain"
        latest = LedgerEntry.objects.latest("sequence")
        assert (latest.action, latest.actor_name == "Go/No-Go") == ("ledger.exported", False)

    def test_who_sees_a_release_downloads_its_entries_with_proofs(self, application: Application) -> None:
        release = ReleaseFactory(application=application)
        engineer = logged_in(member(application, Role.ENGINEER))
        page = engineer.get(LIST, {"release": release.pk}).content.decode()
        address = reverse("releases:ledger_bundle", args=[release.pk])
        assert f'action="{address}"' in page
        with zipfile.ZipFile(io.BytesIO(b"".join(engineer.post(address)))) as archive:
            manifest = json.loads(archive.read("manifest.json"))
            first = json.loads(archive.read("entries.jsonl").splitlines()[0])
        assert manifest["release"] == str(release.pk)
        assert manifest["entries"] == LedgerEntry.objects.filter(release_id=release.pk).count() > 0
        assert first["proof"]
        assert logged_in(UserFactory()).post(address).status_code == 404

    def test_an_auditor_of_one_application_cannot_take_the_others_away(self, auditor: Client) -> None:
        ApplicationFactory()
        assert auditor.post("/ledger/chain").status_code == 403
        assert "The whole chain tells of all applications" in auditor.get(LIST).content.decode()


@pytest.mark.django_db(transaction=True)
def test_under_asgi_the_download_is_streamed_in_pieces(application: Application) -> None:
    write(1, application=application)
    for _ in range(4):
        with transaction.atomic():
            noise = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(1500)]
            ledger.append(action="test.long", actor=None, application=application, document={"noise": noise})
    auditor = member(application, Role.AUDITOR)

    async def download() -> tuple[int, list[bytes]]:
        client = AsyncClient()
        await client.aforce_login(auditor)
        answer = await client.post("/ledger/chain")
        assert answer.is_async
        return answer.status_code, [piece async for piece in answer]

    status, pieces = async_to_sync(download)()
    assert status == 200
    assert len(pieces) > 2
    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as archive:
        assert archive.testzip() is None
