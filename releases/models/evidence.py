"""Evidence: what is known, about which build, plan and place, and until when."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models

from releases.enums import EvidenceSource, EvidenceVerdict


class Evidence(models.Model):
    """One immutable answer (the database refuses UPDATE and DELETE).

    ``figures``: name -> number or string, shown and compared. ``artifacts``: list of
    {"name", "key", "size", "sha256"}. ``link``: where evidence lies that is kept elsewhere, ``link_note``: what it
    shows; nothing can vouch that it stays the same. ``run_id`` names the run of ``checks`` without importing it.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    release = models.ForeignKey("releases.Release", on_delete=models.PROTECT, related_name="evidence")
    item = models.ForeignKey(
        "releases.ChecklistItem",
        on_delete=models.PROTECT,
        null=True,
        related_name="sign_offs",
        help_text="For sign-offs: the item signed. Evidence of runs finds its items by section and environment.",
    )
    source = models.CharField(max_length=20, choices=EvidenceSource.choices)
    kind = models.CharField(max_length=60)
    section = models.CharField(max_length=120, blank=True)
    section_digest = models.CharField(max_length=64, blank=True)
    run_id = models.UUIDField(null=True, unique=True)
    run_number = models.BigIntegerField(null=True)
    environment = models.ForeignKey("releases.Environment", on_delete=models.PROTECT, null=True, related_name="+")
    build_digest = models.CharField(max_length=64)
    verdict = models.CharField(max_length=20, choices=EvidenceVerdict.choices)
    summary = models.CharField(max_length=500)
    figures = models.JSONField(default=dict)
    artifacts = models.JSONField(default=list)
    link = models.CharField(max_length=1000, blank=True)
    link_note = models.CharField(max_length=500, blank=True)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    recorded_at = models.DateTimeField()
    valid_until = models.DateTimeField(null=True, help_text="Empty: for this release.")

    class Meta:
        ordering: ClassVar = ["-recorded_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(verdict__in=EvidenceVerdict.values), name="evidence_verdict_known"
            ),
            models.CheckConstraint(
                condition=models.Q(source=EvidenceSource.RUN, run_id__isnull=False, section__gt="")
                | models.Q(source=EvidenceSource.SIGN_OFF, author__isnull=False, item__isnull=False)
                | models.Q(source=EvidenceSource.RECEIPT),
                name="evidence_source_complete",
            ),
            models.CheckConstraint(
                condition=models.Q(link="") | models.Q(link_note__gt=""), name="evidence_link_says_what"
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["release", "section", "environment", "-recorded_at"])]

    def __str__(self) -> str:
        return self.summary
