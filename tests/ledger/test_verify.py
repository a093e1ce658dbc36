"""Verification finds what somebody with the keys to the database has done, and names the first bad entry."""

import hashlib
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.core.files.storage import default_storage

from releases.domain import ledger
from releases.errors import LedgerBroken, LedgerUncheckable
from releases.models import LedgerCheckpoint, LedgerEntry, LedgerVerification, User
from releases.verify_ledger import Problem, seal_hash
from tests.ledger_support import chain, tampering, write

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage_folder")]


RENUMBER = "UPDATE releases_ledgerentry SET sequence = %s WHERE sequence = %s"


def problem() -> Problem:
    """The first thing that is wrong, which there must be."""
    found = ledger.verify().problem
    assert found is not None, "the tampering was not found"
    return found


def test_an_empty_ledger_holds() -> None:
    report = ledger.verify()
    assert (report.holds, report.entries, report.checkpoints) == (True, 0, 0)


def test_it_counts_what_it_checked() -> None:
    write(3)
    ledger.checkpoint()
    write(2)
    ledger.checkpoint()
    write(1)
    report = ledger.verify()
    assert (report.holds, report.entries, report.checkpoints, report.stored) == (True, 6, 2, 2)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("action", "'test.other'"),
        ("actor_id", "99"),
        ("actor_name", "'Somebody'"),
        ("application_id", "99"),
        ("at", "at + interval '1 microsecond'"),
        ("document", """'{"number": true, "text": "Grüße"}'"""),
        ("release_id", "gen_random_uuid()"),
        ("request_id", "'another'"),
        ("subject_id", "'9'"),
        ("subject_type", "'risk'"),
    ],
)
def test_it_names_a_changed_column(column: str, value: str) -> None:
    write(4)
    with tampering() as cursor:
        cursor.execute(f"UPDATE releases_ledgerentry SET {column} = {value} WHERE sequence = 2")
    found = problem()
    assert (found.kind, found.sequence) == ("changed", 2)
    assert column in found.text


def test_it_names_changed_bytes() -> None:
    write(4)
    with tampering() as cursor:
        cursor.execute("UPDATE releases_ledgerentry SET canonical = canonical || ' '::bytea WHERE sequence = 3")
    assert problem()[:2] == ("changed", 3)


@pytest.mark.parametrize(("column", "named"), [("hash", 2), ("previous", 2)])
def test_it_names_a_changed_seal(column: str, named: int) -> None:
    write(4)
    with tampering() as cursor:
        cursor.execute(f"UPDATE releases_ledgerentry SET {column} = sha256('x') WHERE sequence = 2")
    assert problem()[:2] == ("changed", named)


def test_it_names_an_entry_that_was_changed_and_sealed_again() -> None:
    write(4)
    _rewrite(2, until=2)
    found = problem()
    assert (found.kind, found.sequence) == ("changed", 2)
    assert "sealed again" in found.text


@pytest.mark.parametrize("sequence", [1, 2, 4])
def test_it_names_a_deleted_entry(sequence: int) -> None:
    write(5)
    with tampering() as cursor:
        cursor.execute("DELETE FROM releases_ledgerentry WHERE sequence = %s", [sequence])
    found = problem()
    assert (found.kind, found.sequence) == ("missing", sequence)


def test_it_names_a_deleted_entry_although_the_rest_was_renumbered() -> None:
    write(5)
    with tampering() as cursor:
        cursor.execute("DELETE FROM releases_ledgerentry WHERE sequence = 2")
        for sequence in (3, 4, 5):
            cursor.execute(
                "UPDATE releases_ledgerentry SET sequence = %s WHERE sequence = %s", [sequence - 1, sequence]
            )
    found = problem()
    assert (found.kind, found.sequence) == ("missing", 2)


def test_it_names_an_inserted_entry() -> None:
    write(4)
    entry = chain()[1]
    forged = bytes(entry.canonical).replace(b"test.happened", b"test.forged")
    with tampering() as cursor:
        for sequence in (4, 3):
            cursor.execute(
                "UPDATE releases_ledgerentry SET sequence = %s WHERE sequence = %s", [sequence + 1, sequence]
            )
        previous = bytes(entry.hash or b"")
        _insert(cursor, 3, forged, hashlib.sha256(b"x").digest(), seal_hash(previous, 3, forged))
    assert problem()[:2] == ("inserted", 3)


def test_it_names_an_inserted_entry_that_links_well() -> None:
    """A perfect forgery of entry 3, which takes the constraint UNIQUE(previous) off as well."""
    write(4)
    entry = chain()[1]
    previous, forged = bytes(entry.hash or b""), bytes(entry.canonical).replace(b"test.happened", b"test.forged")
    with tampering() as cursor:
        cursor.execute("ALTER TABLE releases_ledgerentry DROP CONSTRAINT releases_ledgerentry_previous_key")
        for sequence in (4, 3):
            cursor.execute(RENUMBER, [sequence + 1, sequence])
        cursor.execute(
            "INSERT INTO releases_ledgerentry (sequence, at, actor_name, action, subject_type, subject_id, request_id,"
            " document, canonical, previous, hash) SELECT 3, at, actor_name, 'test.forged', subject_type, subject_id,"
            " request_id, document, %s, %s, %s FROM releases_ledgerentry WHERE sequence = 2",
            [forged, previous, seal_hash(previous, 3, forged)],
        )
    try:
        assert problem()[:2] == ("inserted", 3)
    finally:
        with tampering() as cursor:
            cursor.execute("DELETE FROM releases_ledgerentry")
            cursor.execute(
                "ALTER TABLE releases_ledgerentry ADD CONSTRAINT releases_ledgerentry_previous_key UNIQUE (previous)"
            )


def test_it_names_an_entry_that_was_never_sealed() -> None:
    write(2)
    with tampering() as cursor:
        _insert(cursor, None, b"{}", None, None)
    found = problem()
    assert found.kind == "inserted"
    assert "never sealed" in found.text


@pytest.mark.parametrize(("one", "other"), [(2, 3), (1, 4)])
def test_it_names_reordered_entries(one: int, other: int) -> None:
    write(5)
    with tampering() as cursor:
        cursor.execute("UPDATE releases_ledgerentry SET sequence = 99 WHERE sequence = %s", [one])
        cursor.execute("UPDATE releases_ledgerentry SET sequence = %s WHERE sequence = %s", [one, other])
        cursor.execute("UPDATE releases_ledgerentry SET sequence = %s WHERE sequence = 99", [other])
    found = problem()
    assert (found.kind, found.sequence) == ("reordered", one)


def test_it_names_the_first_of_two_entries_whose_contents_were_swapped() -> None:
    write(4)
    second, third = chain()[1:3]
    with tampering() as cursor:
        for entry, other in ((second, third), (third, second)):
            cursor.execute(
                "UPDATE releases_ledgerentry SET canonical = %s, document = %s::jsonb, at = %s WHERE sequence = %s",
                [bytes(other.canonical), json.dumps(other.document), other.at, entry.sequence],
            )
    assert problem()[:2] == ("changed", 2)


def test_it_names_the_missing_tail_by_the_stored_checkpoint() -> None:
    write(5)
    ledger.checkpoint()
    with tampering() as cursor:
        cursor.execute("DELETE FROM releases_ledgerentry WHERE sequence > 3")
        cursor.execute("DELETE FROM releases_ledgercheckpoint")
    assert problem()[:2] == ("truncated", 4)


def test_it_misses_a_ledger_that_was_emptied() -> None:
    write(2)
    ledger.checkpoint()
    with tampering() as cursor:
        cursor.execute("DELETE FROM releases_ledgerentry")
        cursor.execute("DELETE FROM releases_ledgercheckpoint")
    assert problem()[:2] == ("truncated", 1)


def test_it_finds_a_chain_that_was_sealed_again_to_its_end() -> None:
    write(3)
    ledger.checkpoint()
    write(3)
    ledger.checkpoint()
    _rewrite(5, until=6)
    found = problem()
    assert (found.kind, found.sequence) == ("checkpoint", 4)
    assert "entries 4 to 6" in found.text


def test_a_new_tail_after_a_deleted_one_does_not_fit_the_checkpoint() -> None:
    write(4)
    ledger.checkpoint()
    with tampering() as cursor:
        cursor.execute("DELETE FROM releases_ledgerentry WHERE sequence > 2")
    write(4, action="test.other")
    assert problem().kind == "checkpoint"


def _forge_key(row: LedgerCheckpoint) -> dict[str, Any]:
    key = Ed25519PrivateKey.generate()
    public_key = key.public_key().public_bytes_raw()
    key_id = hashlib.sha256(public_key).hexdigest()[:16]
    statement = bytes(row.statement).replace(row.key_id.encode(), key_id.encode())
    return {"key_id": key_id, "public_key": public_key, "statement": statement, "signature": key.sign(statement)}


@pytest.mark.parametrize(
    ("forge", "why"),
    [
        (lambda row: {"root": hashlib.sha256(b"x").digest()}, "its root is not that of the entries"),
        (lambda row: {"signature": bytes(64)}, "its signature does not hold"),
        (lambda row: {"signed_at": row.signed_at.replace(year=2001)}, "do not say what was signed"),
        (lambda row: {"statement": b"nonsense"}, "cannot be read"),
        (lambda row: {"frontier": bytes(32)}, "do not say what was signed"),
        (_forge_key, "which is not one of ours"),
    ],
)
def test_it_names_what_is_wrong_with_a_checkpoint(
    forge: Callable[[LedgerCheckpoint], dict[str, Any]], why: str
) -> None:
    write(4)
    row = ledger.checkpoint()
    assert row is not None
    changes = forge(row)
    with tampering() as cursor:
        columns = ", ".join(f"{name} = %s" for name in changes)
        cursor.execute(f"UPDATE releases_ledgercheckpoint SET {columns}", list(changes.values()))
    found = problem()
    assert found.kind == "checkpoint"
    assert why in found.text


def test_it_misses_a_checkpoint_that_is_still_in_the_storage() -> None:
    write(2)
    ledger.checkpoint()
    write(2)
    ledger.checkpoint()
    with tampering() as cursor:
        cursor.execute("DELETE FROM releases_ledgercheckpoint WHERE size = 4")
    assert "not in the database any more" in problem().text


def test_it_misses_a_checkpoint_between_two_others() -> None:
    write(2)
    first = ledger.checkpoint()
    write(2)
    ledger.checkpoint()
    assert first is not None
    with tampering() as cursor:
        cursor.execute("UPDATE releases_ledgercheckpoint SET previous_checkpoint_id = NULL")
        cursor.execute("DELETE FROM releases_ledgercheckpoint WHERE size = 2")
    default_storage.delete(first.stored_key or f"ledger/checkpoints/2-{bytes(first.root).hex()}.json")
    assert "does not follow" in problem().text


def test_it_misses_the_stored_copy(storage_folder: Path) -> None:
    write(2)
    ledger.checkpoint()
    (copy,) = (storage_folder / "ledger/checkpoints").iterdir()
    copy.unlink()
    assert "not in the storage any more" in problem().text


def test_it_sees_a_changed_stored_copy(storage_folder: Path) -> None:
    write(2)
    ledger.checkpoint()
    (copy,) = (storage_folder / "ledger/checkpoints").iterdir()
    copy.write_bytes(copy.read_bytes() + b" ")
    assert "differs from it" in problem().text


def test_without_the_storage_there_is_no_verdict(storage_folder: Path) -> None:
    write(2)
    (storage_folder / "ledger").mkdir(parents=True)
    (storage_folder / "ledger/checkpoints").write_text("a file where the folder was")
    with pytest.raises(LedgerUncheckable, match="There is no verdict"):
        ledger.verify()


def test_it_sees_a_changed_node_of_the_stored_tree() -> None:
    write(256)
    ledger.checkpoint()
    with tampering() as cursor:
        cursor.execute("UPDATE releases_ledgernode SET hash = sha256('x') WHERE level = 8")
    found = problem()
    assert (found.kind, found.sequence) == ("checkpoint", 1)


def test_no_checkpoint_is_signed_over_a_broken_chain() -> None:
    write(3)
    with tampering() as cursor:
        cursor.execute("UPDATE releases_ledgerentry SET canonical = 'x' WHERE sequence = 2")
    with pytest.raises(LedgerBroken, match="Entry 2 was changed"):
        ledger.checkpoint()
    assert not LedgerCheckpoint.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_verification_goes_on_step_by_step_and_writes_its_verdict() -> None:
    actor = User.objects.create_user("ada@example.org", name="Ada")
    write(300)
    ledger.checkpoint()
    row = ledger.start_verification(actor=actor)
    steps = 0
    while row.state == "running":
        row = ledger.advance_verification(verification_id=row.pk, seconds=0, rows=128)
        steps += 1
    assert (row.state, row.position, steps) == ("passed", 300, 3)
    assert row.report["checkpoints"] == 1
    assert LedgerEntry.objects.latest("sequence").action == "ledger.verified"
    assert ledger.advance_verification(verification_id=row.pk).state == "passed"
    assert LedgerEntry.objects.filter(action="ledger.verified").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_verification_in_steps_names_the_bad_entry() -> None:
    write(300)
    with tampering() as cursor:
        cursor.execute("DELETE FROM releases_ledgerentry WHERE sequence = 200")
    row = ledger.start_verification(actor=None)
    while row.state == "running":
        row = ledger.advance_verification(verification_id=row.pk, seconds=0, rows=128)
    assert row.state == "failed"
    assert (row.report["problem"]["kind"], row.report["problem"]["sequence"]) == ("missing", 200)


def test_a_verification_that_cannot_go_on_is_errored_and_not_passed(storage_folder: Path) -> None:
    write(2)
    row = ledger.start_verification(actor=None)
    (storage_folder / "ledger").mkdir(parents=True)
    (storage_folder / "ledger/checkpoints").write_text("a file where the folder was")
    row = ledger.advance_verification(verification_id=row.pk)
    assert row.state == "errored"
    assert LedgerVerification.objects.get().report["error"]


def test_a_key_of_before_counts_while_it_is_trusted(settings: Any) -> None:
    write(2)
    old = ledger.public_key_text()
    ledger.checkpoint()
    settings.LEDGER_SIGNING_KEY = b64encode(hashlib.sha256(b"new key").digest()).decode()
    write(2)
    ledger.checkpoint()
    assert "not one of ours" in problem().text
    settings.LEDGER_TRUSTED_KEYS = [old]
    assert ledger.verify().holds
    assert len(b64decode(old)) == 32


def _insert(cursor: Any, sequence: int | None, canonical: bytes, previous: bytes | None, seal: bytes | None) -> None:
    cursor.execute(
        "INSERT INTO releases_ledgerentry (sequence, at, actor_name, action, subject_type, subject_id, request_id,"
        " document, canonical, previous, hash) VALUES (%s, now(), '', 'test.forged', '', '', '', '{}', %s, %s, %s)",
        [sequence, canonical, previous, seal],
    )


def _rewrite(sequence: int, *, until: int) -> None:
    """Changes an entry and seals it and those after it anew, as a thief with time would."""
    entries = {entry.sequence or 0: entry for entry in chain()}
    previous = bytes(entries[sequence - 1].hash or b"")
    with tampering() as cursor:
        for number in range(sequence, until + 1):
            canonical = bytes(entries[number].canonical)
            if number == sequence:
                canonical = canonical.replace(b"test.happened", b"test.forged")
                cursor.execute("UPDATE releases_ledgerentry SET action = 'test.forged' WHERE sequence = %s", [number])
            seal = seal_hash(previous, number, canonical)
            cursor.execute(
                "UPDATE releases_ledgerentry SET canonical = %s, previous = %s, hash = %s WHERE sequence = %s",
                [canonical, previous, seal, number],
            )
            previous = seal
