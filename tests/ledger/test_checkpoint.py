"""Checkpoints: signed, chained, and kept outside of the database."""

import hashlib
import json
from base64 import b64decode, b64encode
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.core.management import CommandError, call_command

from releases.domain import ledger
from releases.errors import LedgerBroken
from releases.models import LedgerCheckpoint, LedgerNode
from releases.verify_ledger import Frontier
from tests.ledger_support import chain, tampering, write

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage_folder")]


def test_an_empty_ledger_has_no_checkpoint() -> None:
    assert ledger.checkpoint() is None


def test_it_signs_the_root_over_all_entries_and_stores_the_copy(storage_folder: Path) -> None:
    write(3)
    newest = ledger.checkpoint()
    assert newest is not None
    frontier = Frontier()
    for entry in chain():
        frontier.push(bytes(entry.hash or b""))
    assert (newest.size, bytes(newest.root)) == (3, frontier.root())
    copy = storage_folder / "ledger/checkpoints" / f"3-{frontier.root().hex()}.json"
    facts = json.loads(copy.read_text())
    key = Ed25519PublicKey.from_public_bytes(b64decode(ledger.public_key_text()))
    key.verify(b64decode(facts["signature"]), facts["statement"].encode())
    assert json.loads(facts["statement"])["root"] == frontier.root().hex()
    newest.refresh_from_db()
    assert newest.stored_key == f"ledger/checkpoints/{copy.name}"


def test_without_new_entries_nothing_is_signed() -> None:
    write(2)
    first = ledger.checkpoint()
    assert ledger.checkpoint() == first
    assert LedgerCheckpoint.objects.count() == 1


def test_each_checkpoint_names_the_one_before_it_and_goes_on_from_its_frontier() -> None:
    write(3)
    first = ledger.checkpoint()
    write(2)
    second = ledger.checkpoint()
    assert first is not None
    assert second is not None
    assert second.previous_checkpoint == first
    assert json.loads(bytes(second.statement))["previous"] == hashlib.sha256(first.statement).hexdigest()
    assert ledger.verify().checkpoints == 2


def test_subtrees_of_256_entries_are_stored_once() -> None:
    write(255)
    ledger.checkpoint()
    assert LedgerNode.objects.count() == 0
    write(2)
    ledger.checkpoint()
    write(1)
    ledger.checkpoint()
    assert list(LedgerNode.objects.values_list("level", "index")) == [(8, 0)]


def test_a_copy_that_could_not_be_stored_is_stored_by_the_next_call(storage_folder: Path) -> None:
    write(2)
    storage_folder.mkdir()
    blocker = storage_folder / "ledger"
    blocker.write_text("a file where the folder belongs")
    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the storage
        ledger.checkpoint()
    assert LedgerCheckpoint.objects.get().stored_key == ""
    blocker.unlink()
    ledger.checkpoint()
    assert LedgerCheckpoint.objects.get().stored_key
    assert ledger.verify().stored == 1


def test_a_stored_copy_is_never_overwritten(storage_folder: Path) -> None:
    write(2)
    ledger.checkpoint()
    (copy,) = (storage_folder / "ledger/checkpoints").iterdir()
    with tampering() as cursor:
        cursor.execute("UPDATE releases_ledgercheckpoint SET stored_key = ''")
    copy.write_bytes(b"another")
    with pytest.raises(LedgerBroken, match="holds another checkpoint"):
        ledger.checkpoint()
    assert copy.read_bytes() == b"another"


def test_the_commands_sign_and_verify() -> None:
    write(2)
    out = StringIO()
    call_command("checkpoint_ledger", stdout=out)
    call_command("checkpoint_ledger", "--key", stdout=out)
    call_command("verify_ledger", stdout=out)
    assert "covers 2 entries" in out.getvalue()
    assert ledger.public_key_text() in out.getvalue()
    assert "The ledger holds: 2 entries, 1 checkpoints, 1 stored copies" in out.getvalue()


def test_the_command_names_what_is_wrong_and_fails() -> None:
    write(2)
    with tampering() as cursor:
        cursor.execute("UPDATE releases_ledgerentry SET action = 'test.other' WHERE sequence = 1")
    with pytest.raises(CommandError, match=r"broken \(changed\): Entry 1 was changed") as caught:
        call_command("verify_ledger", stdout=StringIO())
    assert caught.value.returncode == 1


def test_a_new_key_signs_from_then_on(settings: Any) -> None:
    write(1)
    first = ledger.checkpoint()
    settings.LEDGER_SIGNING_KEY = b64encode(bytes(range(32))).decode()
    write(1)
    second = ledger.checkpoint()
    assert first is not None
    assert second is not None
    assert first.key_id != second.key_id
