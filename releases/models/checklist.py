"""The go-live checklist of one release. The state of an item is computed from evidence, never stored."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from releases.enums import Requirement


class ChecklistItem(models.Model):
    """One question that evidence must answer.

    ``section`` names the plan section whose run answers it ("checks.backup"); empty: people sign it off.
    ``receipt`` names what another part of the program records for it ("test-alert"); empty: not used.
    """

    release = models.ForeignKey("releases.Release", on_delete=models.CASCADE, related_name="items")
    key = models.CharField(max_length=100)
    requirement = models.CharField(max_length=20, choices=Requirement.choices)
    position = models.PositiveIntegerField()
    title = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    section = models.CharField(max_length=120, blank=True)
    receipt = models.CharField(max_length=60, blank=True)
    environment = models.ForeignKey("releases.Environment", on_delete=models.PROTECT, null=True, related_name="+")
    valid_for = models.DurationField(null=True, help_text="How long evidence stays fresh; empty: for this release.")
    attested = models.BooleanField(
        default=False, help_text="A signature counts only with evidence (a file or a link) and an end."
    )
    blocking = models.BooleanField(default=True)
    owner = models.CharField(max_length=100, blank=True)

    class Meta:
        ordering: ClassVar = ["position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["release", "key"], name="checklist_item_key_once"),
            models.CheckConstraint(
                condition=models.Q(requirement__in=Requirement.values), name="item_requirement_known"
            ),
            models.CheckConstraint(condition=models.Q(section="") | models.Q(receipt=""), name="item_answered_one_way"),
        ]

    def __str__(self) -> str:
        return self.title


class Waiver(models.Model):
    """Leave to go live without an item: a reason, two people, an end. Counts only while both signed and not expired."""

    item = models.ForeignKey(ChecklistItem, on_delete=models.CASCADE, related_name="waivers")
    reason = models.TextField()
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    approved_at = models.DateTimeField(null=True)
    revoked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    revoked_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["-requested_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(approved_by__isnull=True) | ~models.Q(approved_by=models.F("requested_by")),
                name="waiver_two_people",
            ),
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("requested_at")), name="waiver_expires_later"
            ),
            models.CheckConstraint(condition=models.Q(reason__gt=""), name="waiver_has_a_reason"),
        ]

    def __str__(self) -> str:
        return f"Waiver for {self.item}"
