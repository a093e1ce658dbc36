"""Committed lines of a run's log."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models


class LogChunk(models.Model):
    """Some whole, masked lines, committed under the run's token. Never changed.

    ``body``: the lines joined by "\\n" (no trailing one). ``stamps``: milliseconds since 1970 for each line.
    ``kinds``: one letter (LineKind) for each line. ``sha256`` is of the UTF-8 bytes of ``body``.
    """

    run = models.ForeignKey("checks.Run", on_delete=models.CASCADE, related_name="log")
    attempt = models.PositiveIntegerField()
    first_line = models.BigIntegerField(help_text="1-based.")
    lines = models.PositiveIntegerField()
    bytes = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    token = models.BigIntegerField()
    body = models.TextField()
    stamps = ArrayField(models.BigIntegerField())
    kinds = models.TextField()
    committed_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["run", "attempt", "first_line"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "attempt", "first_line"], name="log_chunk_once"),
            models.CheckConstraint(condition=models.Q(lines__gt=0, first_line__gt=0), name="log_chunk_not_empty"),
        ]
