"""Signed checkpoints: what the ledger was, said under a key and kept outside the database."""

import hashlib
import json
from base64 import b64decode, b64encode

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.utils import timezone

from releases.domain.canonical import at_text, canonical_json
from releases.domain.ledger.rows import head_sequence, read_entries
from releases.domain.ledger.tree import STORED_LEVELS
from releases.errors import LedgerBroken
from releases.models.ledger import LedgerCheckpoint, LedgerEntry, LedgerNode
from releases.verify_ledger import GENESIS, STATEMENT_FORMAT, Chain, Frontier, key_fingerprint

FOLDER = "ledger/checkpoints"


def checkpoint() -> LedgerCheckpoint | None:
    """Signs a checkpoint over all sealed entries and stores its copy; to be called every minute.

    Answers the newest checkpoint, None while the ledger is empty. Without new entries nothing is signed. Copies that
    could not be stored before are stored now; where the storage fails, the checkpoint stays and the next call tries
    again. LedgerBroken: the new entries do not verify, or the storage holds something else under that name.
    """
    newest = sign_checkpoint()
    store_checkpoints()
    return newest


@transaction.atomic
def sign_checkpoint() -> LedgerCheckpoint | None:
    """Signs a checkpoint over all sealed entries if there are new ones, and answers the newest. LedgerBroken: above."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(hashtextextended('gonogo.ledger.checkpoint', 0))")
    last = LedgerCheckpoint.objects.order_by("-size").first()
    size = head_sequence()
    if size == (last.size if last else 0):
        return last
    frontier, nodes = _grow(last, size)
    LedgerNode.objects.bulk_create(nodes, batch_size=1000)
    key = signing_key()
    public_key = key.public_key().public_bytes_raw()
    signed_at = timezone.now()
    statement = canonical_json(
        {
            "format": STATEMENT_FORMAT,
            "key_id": key_fingerprint(public_key),
            "previous": hashlib.sha256(last.statement).hexdigest() if last else None,
            "root": frontier.root().hex(),
            "signed_at": signed_at,
            "size": size,
        }
    )
    return LedgerCheckpoint.objects.create(
        size=size,
        root=frontier.root(),
        previous_checkpoint=last,
        signed_at=signed_at,
        key_id=key_fingerprint(public_key),
        public_key=public_key,
        statement=statement,
        signature=key.sign(statement),
        frontier=frontier.to_bytes(),
    )


def store_checkpoints() -> int:
    """Writes the copies that are not in the storage yet, reads each back, and answers how many there were."""
    unstored = list(LedgerCheckpoint.objects.filter(stored_key="").order_by("size"))
    for row in unstored:
        name, content = stored_name(row), stored_content(row)
        if not default_storage.exists(name):
            default_storage.save(name, ContentFile(content))
        with default_storage.open(name) as file:
            if file.read() != content:
                raise LedgerBroken(
                    f"The storage holds another checkpoint under {name}. It was kept as it is; compare the two."
                )
        LedgerCheckpoint.objects.filter(pk=row.pk, stored_key="").update(stored_key=name)
    return len(unstored)


def stored_name(row: LedgerCheckpoint) -> str:
    """Where the copy of a checkpoint stands in the storage."""
    return f"{FOLDER}/{row.size}-{bytes(row.root).hex()}.json"


def stored_content(row: LedgerCheckpoint) -> bytes:
    """The copy of a checkpoint, byte for byte."""
    facts = {
        "public_key": b64encode(row.public_key).decode(),
        "signature": b64encode(row.signature).decode(),
        "statement": bytes(row.statement).decode(),
    }
    return json.dumps(facts, indent=1, sort_keys=True).encode() + b"\n"


def signing_key() -> Ed25519PrivateKey:
    """The key of this installation, from settings.LEDGER_SIGNING_KEY (base64 of 32 bytes)."""
    return Ed25519PrivateKey.from_private_bytes(b64decode(settings.LEDGER_SIGNING_KEY))


def public_key_text() -> str:
    """The public key of this installation in base64: what an auditor compares with, or gives as --key."""
    return b64encode(signing_key().public_key().public_bytes_raw()).decode()


def trusted_keys() -> dict[str, bytes]:
    """The public keys whose checkpoints count, by their fingerprint: today's and settings.LEDGER_TRUSTED_KEYS."""
    keys = [public_key_text(), *settings.LEDGER_TRUSTED_KEYS]
    raw = [b64decode(key) for key in keys]
    return {key_fingerprint(key): key for key in raw}


def signed_facts(row: LedgerCheckpoint) -> dict[str, object]:
    """What the statement of a checkpoint must say, by the row's columns."""
    return {
        "format": STATEMENT_FORMAT,
        "key_id": row.key_id,
        "root": bytes(row.root).hex(),
        "signed_at": at_text(row.signed_at),
        "size": row.size,
    }


def _grow(last: LedgerCheckpoint | None, size: int) -> tuple[Frontier, list[LedgerNode]]:
    """Goes on from the last checkpoint over the new entries, checking each: nothing broken is ever signed."""
    if last is None:
        chain, frontier = Chain(), Frontier()
    else:
        sealed = LedgerEntry.objects.filter(sequence=last.size).values_list("hash", flat=True).first()
        chain = Chain(last.size, bytes(sealed or GENESIS))
        frontier = Frontier.from_bytes(last.size, bytes(last.frontier))
    nodes = []
    for entry in read_entries(after=chain.position, until=size):
        problem = chain.take(entry, lambda _hash: False)
        if problem:
            raise LedgerBroken(f"{problem.text} No checkpoint was signed; run `manage.py verify_ledger`.")
        for level, index, node in frontier.push(entry.hash):
            if level % STORED_LEVELS == 0:
                nodes.append(LedgerNode(level=level, index=index, hash=node))
    if frontier.size != size:
        raise LedgerBroken(f"Entries after {frontier.size} are missing. No checkpoint was signed.")
    return frontier, nodes
