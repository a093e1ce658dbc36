"""Appending to the ledger and its seal."""

import json
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from struct import pack
from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, transaction

from releases import request_id
from releases.domain import ledger
from releases.errors import LedgerMisuse, LedgerReadOnly
from releases.models import LedgerEntry, User
from tests.ledger_support import chain, write

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("storage_folder")]


def test_an_entry_is_sealed_with_the_hash_of_its_bytes_when_its_transaction_commits() -> None:
    write(2)
    first, second = chain()
    assert (first.sequence, second.sequence) == (1, 2)
    assert bytes(first.previous or b"") == bytes(32)
    assert bytes(second.previous or b"") == bytes(first.hash or b"")
    assert bytes(second.hash or b"") == sha256(bytes(first.hash or b"") + pack(">q", 2) + second.canonical).digest()


def test_the_canonical_bytes_say_what_the_columns_say() -> None:
    actor = User.objects.create_user("ada@example.org", name="Ada Lovelace")
    release = uuid4()
    token = request_id.bind("request-0001")
    try:
        with transaction.atomic():
            ledger.append(
                action="release.approved",
                actor=actor,
                subject_type="release",
                subject_id=str(release),
                application=7,
                release=release,
                document={"before": {"state": "draft"}, "after": {"state": "approved", "share": 0.5, "big": 1e20}},
            )
    finally:
        request_id.release(token)
    (entry,) = chain()
    facts = json.loads(bytes(entry.canonical))
    assert facts == {
        "action": "release.approved",
        "actor_id": actor.pk,
        "actor_name": "Ada Lovelace <ada@example.org>",
        "application_id": 7,
        "at": entry.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "document": {"before": {"state": "draft"}, "after": {"state": "approved", "share": 0.5, "big": 1e20}},
        "release_id": str(release),
        "request_id": "request-0001",
        "subject_id": str(release),
        "subject_type": "release",
        "v": 1,
    }
    assert entry.document == facts["document"]
    assert abs((datetime.now(UTC) - entry.at).total_seconds()) < 5
    assert ledger.verify().holds


def test_an_entry_vanishes_with_the_transaction_that_is_rolled_back_and_leaves_no_gap() -> None:
    write()
    with suppress(RuntimeError), transaction.atomic():
        ledger.append(action="test.gone", actor=None, document={})
        raise RuntimeError
    with transaction.atomic():
        ledger.append(action="test.kept", actor=None, document={})
        with suppress(RuntimeError), transaction.atomic():
            ledger.append(action="test.gone", actor=None, document={})
            raise RuntimeError
        ledger.append(action="test.kept", actor=None, document={})
    assert [(entry.sequence, entry.action) for entry in chain()] == [
        (1, "test.happened"),
        (2, "test.kept"),
        (3, "test.kept"),
    ]
    assert ledger.verify().holds


def test_it_refuses_to_write_outside_of_a_transaction() -> None:
    with pytest.raises(LedgerMisuse, match=r"transaction\.atomic"):
        ledger.append(action="test.happened", actor=None, document={})
    assert chain() == []


@pytest.mark.parametrize("action", ["", "approved", "Release.Approved", " release.approved"])
def test_it_refuses_what_is_no_action(action: str) -> None:
    with transaction.atomic(), pytest.raises(LedgerMisuse, match="is not an action"):
        ledger.append(action=action, actor=None, document={})


@pytest.mark.parametrize("value", [object(), b"bytes", 2**53, float("nan"), "a\x00b", "\ud800"])
def test_it_refuses_facts_that_json_cannot_carry(value: object) -> None:
    with transaction.atomic(), pytest.raises(LedgerMisuse, match="Nothing was written"):
        ledger.append(action="test.happened", actor=None, document={"value": value})
    assert chain() == []


def test_the_name_outlives_the_person() -> None:
    actor = User.objects.create_user("ada@example.org", name="Ada Lovelace")
    number = actor.pk
    write(actor=actor)
    actor.delete()
    (entry,) = chain()
    assert (entry.actor_id, entry.actor_name) == (number, "Ada Lovelace <ada@example.org>")
    assert ledger.verify().holds


def test_entries_are_read_only_in_python_too() -> None:
    write()
    (entry,) = chain()
    with pytest.raises(LedgerReadOnly):
        entry.save()
    with pytest.raises(LedgerReadOnly):
        entry.delete()


def test_seal_now_seals_inside_the_open_transaction() -> None:
    with transaction.atomic():
        ledger.append(action="test.one", actor=None, document={})
        ledger.append(action="test.two", actor=None, document={})
        ledger.seal_now()
        assert [entry.sequence for entry in chain()] == [1, 2]
        ledger.append(action="test.three", actor=None, document={})
    assert [entry.sequence for entry in chain()] == [1, 2, 3]
    assert ledger.verify().holds


def test_eight_writers_at_once_make_one_chain() -> None:
    failures: list[BaseException] = []

    def work(writer: int) -> None:
        try:
            for _ in range(10):
                with transaction.atomic():
                    ledger.append(action="test.one", actor=None, document={"writer": writer})
                    ledger.append(action="test.two", actor=None, document={"writer": writer})
        except BaseException as error:  # noqa: BLE001 - it belongs to the main thread, which raises it
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [entry.sequence for entry in chain()] == list(range(1, 161))
    assert ledger.verify().holds


def test_the_lock_of_the_seal_is_not_held_while_waiting_for_a_row_of_somebody_else() -> None:
    """One commits an entry and a row with a foreign key to a row that another has locked, who commits an entry too."""
    user = User.objects.create_user("ada@example.org", name="Ada")
    locked, go_on = threading.Event(), threading.Event()
    failures: list[BaseException] = []

    def holds_the_row() -> None:
        try:
            with transaction.atomic():
                User.objects.select_for_update().get(pk=user.pk)
                locked.set()
                go_on.wait(10)
                time.sleep(0.3)  # by now the other one is in its commit
                ledger.append(action="test.holder", actor=None, document={})
        except BaseException as error:  # noqa: BLE001 - as above
            failures.append(error)
        finally:
            connection.close()

    def waits_for_the_row() -> None:
        try:
            locked.wait(10)
            with transaction.atomic():
                ledger.append(action="test.waiter", actor=None, document={})
                # Its foreign key is checked at commit, after the deferred trigger of the entry was queued.
                ledger.start_verification(actor=user)
                go_on.set()
        except BaseException as error:  # noqa: BLE001 - as above
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=target) for target in (holds_the_row, waits_for_the_row)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert [entry.action for entry in chain()] == ["test.holder", "test.waiter"]


def test_a_stale_snapshot_cannot_fork_the_chain() -> None:
    write()
    ready, go_on = threading.Event(), threading.Event()

    def other() -> None:
        try:
            ready.wait(10)
            write()
        finally:
            go_on.set()
            connection.close()

    thread = threading.Thread(target=other)
    thread.start()

    def append_over_an_old_snapshot() -> None:
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            LedgerEntry.objects.count()
            ready.set()
            go_on.wait(10)
            ledger.append(action="test.stale", actor=None, document={})

    with pytest.raises(IntegrityError):
        append_over_an_old_snapshot()
    thread.join()
    assert [entry.action for entry in chain()] == ["test.happened", "test.happened"]
    assert ledger.verify().holds
