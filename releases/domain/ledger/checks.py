"""Checking the checkpoints while a walk passes the places that they cover."""

import hashlib
import json
import re
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.core.files.storage import default_storage

from releases.domain.ledger.checkpoints import FOLDER, signed_facts, stored_content, stored_name, trusted_keys
from releases.domain.ledger.rows import head_sequence
from releases.errors import LedgerUncheckable
from releases.models.ledger import LedgerCheckpoint
from releases.verify_ledger import Frontier, Problem

_NAME = re.compile(r"(\d+)-([0-9a-f]{64})\.json\Z")


class CheckpointChecks:
    """The checkpoints of the database and the copies in the storage, each against the walk and each other.

    LedgerUncheckable: the storage does not answer.
    """

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        state = state or {}
        self.checked: int = state.get("checked", 0)
        self.stored: int = state.get("stored", 0)
        self._last_size: int = state.get("last_size", 0)
        self._last_digest: str | None = state.get("last_digest")
        self._keys = trusted_keys()
        self._copies = _stored_copies()
        self._rows: dict[int, LedgerCheckpoint] = {}

    def state(self) -> dict[str, Any]:
        return {
            "checked": self.checked,
            "stored": self.stored,
            "last_size": self._last_size,
            "last_digest": self._last_digest,
        }

    def load(self, *, after: int, until: int) -> None:
        """Reads the rows of the checkpoints that the next entries will complete."""
        rows = LedgerCheckpoint.objects.filter(size__gt=after, size__lte=until)
        self._rows = {row.size: row for row in rows}

    def at(self, frontier: Frontier) -> Problem | None:
        """Checks what claims to cover exactly the entries walked so far."""
        row, roots = self._rows.get(frontier.size), self._copies.get(frontier.size)
        if row is None and not roots:
            return None
        why = _row_fault(row, frontier, self._last_digest, self._keys) if row else "it is not in the database any more"
        if row and not why:
            why = self._copy_fault(row, roots or set())
        if why or row is None:
            return self._problem(frontier.size, why)
        self.checked += 1
        self._last_size, self._last_digest = row.size, hashlib.sha256(row.statement).hexdigest()
        return None

    def beyond(self, end: int) -> Problem | None:
        """Checks that no checkpoint covers more than there is."""
        covered = LedgerCheckpoint.objects.filter(size__gt=end).order_by("-size").values_list("size", flat=True).first()
        largest = max([size for size in self._copies if size > end], default=covered or 0)
        if largest <= end or not self._still_beyond(largest):
            return None
        text = (
            f"The tail is missing: entries {end + 1} to {largest} are under a signed checkpoint and not in the chain."
        )
        return Problem("truncated", end + 1, text)

    @staticmethod
    def _still_beyond(largest: int) -> bool:
        # Entries sealed and signed while we walked are not a fault.
        return head_sequence() < largest

    def _copy_fault(self, row: LedgerCheckpoint, roots: set[str]) -> str:
        """What is wrong with the copy in the storage, or nothing."""
        if roots - {bytes(row.root).hex()}:
            return "the storage holds a copy with another root"
        if not row.stored_key:
            return ""
        copy = _read(stored_name(row))
        if copy is None:
            return "its copy is not in the storage any more"
        if copy != stored_content(row) or row.stored_key != stored_name(row):
            return "its copy in the storage differs from it"
        self.stored += 1
        return ""

    def _problem(self, size: int, why: str) -> Problem:
        first = self._last_size + 1
        where = f"entries {first} to {size}" if first < size else f"entry {size}"
        return Problem("checkpoint", first, f"The checkpoint over {size} entries is bad: {why}. Look at {where}.")


def _row_fault(row: LedgerCheckpoint, frontier: Frontier, before: str | None, keys: dict[str, bytes]) -> str:
    """What is wrong with a checkpoint's row, or nothing."""
    if bytes(row.root) != frontier.root():
        return "its root is not that of the entries, so some were changed and sealed again"
    try:
        said = json.loads(bytes(row.statement))
    except ValueError:
        return "its statement cannot be read"
    if said.pop("previous", "") != before:
        return "it does not follow the checkpoint before it"
    if said != signed_facts(row) or bytes(row.frontier) != frontier.to_bytes():
        return "its columns do not say what was signed"
    key = keys.get(row.key_id)
    if key is None or key != bytes(row.public_key):
        return f"it is signed by key {row.key_id}, which is not one of ours"
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(bytes(row.signature), bytes(row.statement))
    except InvalidSignature:
        return "its signature does not hold"
    return ""


def _stored_copies() -> dict[int, set[str]]:
    """The sizes for which the storage holds copies, with the roots in their names."""
    copies: dict[int, set[str]] = {}
    try:
        names = default_storage.listdir(FOLDER)[1]
    except FileNotFoundError:
        return copies
    except Exception as error:  # each storage has its own errors; none of them is a verdict
        raise LedgerUncheckable(_silent(error)) from error
    for name in names:
        match = _NAME.match(name)
        if match:
            copies.setdefault(int(match[1]), set()).add(match[2])
    return copies


def _read(name: str) -> bytes | None:
    try:
        with default_storage.open(name) as file:
            return bytes(file.read())
    except FileNotFoundError:
        return None
    except Exception as error:
        raise LedgerUncheckable(_silent(error)) from error


def _silent(error: Exception) -> str:
    return f"The storage of the checkpoints does not answer ({error}). There is no verdict; mend it and verify again."
