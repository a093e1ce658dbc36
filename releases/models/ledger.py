"""Tables of the ledger: entries, the tree over them, signed checkpoints, and runs of the verifier.

What makes the entries append-only is not here but in the database (migration 0002_ledger_guard):
`save` and `delete` below only refuse earlier, with a sentence, what its triggers refuse in any case.
"""

from __future__ import annotations

from typing import Any, NoReturn

from django.conf import settings
from django.db import models

from releases.errors import LedgerReadOnly


class LedgerEntry(models.Model):
    """One step that somebody took, sealed into the chain when its transaction commits.

    `canonical` holds the RFC 8785 JSON of all facts; `hash` is
    sha256(previous || int8 sequence, big-endian || canonical). `sequence`, `previous` and `hash`
    are null only inside the transaction that appends.
    """

    id = models.BigAutoField(primary_key=True)
    sequence = models.BigIntegerField(unique=True, null=True, editable=False)
    at = models.DateTimeField(editable=False)
    # No constraint in the database: a user may be erased, the entry stays as it was sealed.
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.DO_NOTHING,
        db_constraint=False,
        null=True,
        blank=True,
        related_name="+",
        db_index=False,
    )
    actor_name = models.TextField(blank=True)
    action = models.TextField()
    subject_type = models.TextField(blank=True)
    subject_id = models.TextField(blank=True)
    # Plain values and no foreign keys: nothing that happens to an application or a release reaches the ledger.
    application_id = models.BigIntegerField(null=True, blank=True)
    release_id = models.UUIDField(null=True, blank=True)
    request_id = models.TextField(blank=True)
    document = models.JSONField(default=dict)
    canonical = models.BinaryField()
    previous = models.BinaryField(unique=True, null=True, editable=False)
    hash = models.BinaryField(unique=True, null=True, editable=False)

    class Meta:
        ordering = ["-sequence"]
        verbose_name_plural = "ledger entries"
        indexes = [
            models.Index(fields=["application_id", "sequence"], name="ledger_application"),
            models.Index(fields=["release_id", "sequence"], name="ledger_release"),
            models.Index(fields=["action", "sequence"], name="ledger_action"),
            models.Index(fields=["actor_id", "sequence"], name="ledger_actor"),
            models.Index(fields=["at", "sequence"], name="ledger_at"),
        ]

    def __str__(self) -> str:
        return f"{self.sequence or 'unsealed'} {self.action}"

    def save(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: LedgerReadOnly."""
        raise LedgerReadOnly

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refused: LedgerReadOnly."""
        raise LedgerReadOnly


class LedgerNode(models.Model):
    """Root of one complete subtree of 256^k entries (`level` 8, 16, 24...), so that a proof reads few rows.

    A cache of what the entries say, filled by each checkpoint; verification computes it again.
    """

    id = models.BigAutoField(primary_key=True)
    level = models.SmallIntegerField()
    index = models.BigIntegerField()
    hash = models.BinaryField()

    class Meta:
        ordering = ["level", "index"]
        constraints = [models.UniqueConstraint(fields=["level", "index"], name="ledger_node_place")]

    def __str__(self) -> str:
        return f"node {self.level}/{self.index}"


class LedgerCheckpoint(models.Model):
    """The RFC 6962 root over the first `size` entries, signed, and stored outside the database.

    `statement` is the RFC 8785 JSON that was signed; `frontier` the concatenated 32-byte roots of the
    complete subtrees that make up `size`, largest first, from which the next checkpoint goes on.
    """

    id = models.BigAutoField(primary_key=True)
    size = models.BigIntegerField(unique=True)
    root = models.BinaryField()
    previous_checkpoint = models.OneToOneField(
        "self", on_delete=models.PROTECT, null=True, blank=True, related_name="next_checkpoint"
    )
    signed_at = models.DateTimeField()
    key_id = models.TextField()
    public_key = models.BinaryField()
    statement = models.BinaryField()
    signature = models.BinaryField()
    frontier = models.BinaryField()
    stored_key = models.TextField(blank=True, help_text="Name in the storage; empty until the copy was read back.")

    class Meta:
        ordering = ["-size"]
        indexes = [
            models.Index(fields=["size"], name="ledger_checkpoint_unstored", condition=models.Q(stored_key="")),
        ]

    def __str__(self) -> str:
        return f"checkpoint over {self.size} entries"


class LedgerVerification(models.Model):
    """One walk over the chain that somebody asked for; it goes on from `position` and survives a restart."""

    id = models.BigAutoField(primary_key=True)
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+"
    )
    state = models.TextField(default="running", help_text="running, passed, failed or errored")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True, blank=True)
    seconds = models.FloatField(default=0.0, help_text="Time spent checking, without the pauses between steps.")
    position = models.BigIntegerField(default=0, help_text="Entries checked so far.")
    target = models.BigIntegerField(default=0, help_text="Entries in the chain when the walk began.")
    walk = models.JSONField(default=dict, help_text="Where the walk goes on: last hash, frontier, last checkpoint.")
    report = models.JSONField(default=dict)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"verification {self.pk}: {self.state}"
