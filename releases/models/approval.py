"""Votes over a manifest, and the two-person way around a closed gate."""

from typing import ClassVar

from django.conf import settings
from django.db import models

from releases.enums import Choice


class Manifest(models.Model):
    """Everything a vote is about, by its digest (SHA-256 of RFC 8785 JSON). Immutable."""

    digest = models.CharField(max_length=64, primary_key=True)
    release = models.ForeignKey("releases.Release", on_delete=models.PROTECT, related_name="manifests")
    document = models.JSONField()
    created_at = models.DateTimeField(auto_now_add=True)


class Vote(models.Model):
    """One person's word for one station over one manifest. Never changed; only withdrawn."""

    release = models.ForeignKey("releases.Release", on_delete=models.PROTECT, related_name="votes")
    station = models.CharField(max_length=40)
    voter = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="votes")
    choice = models.CharField(max_length=20, choices=Choice.choices)
    comment = models.TextField(blank=True)
    manifest = models.ForeignKey(Manifest, on_delete=models.PROTECT, related_name="votes")
    cast_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    withdrawn_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["cast_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["release", "voter", "manifest"],
                condition=models.Q(withdrawn_at__isnull=True),
                name="vote_once_per_person_and_manifest",
            ),
            models.UniqueConstraint(
                fields=["release", "station", "manifest"],
                condition=models.Q(withdrawn_at__isnull=True),
                name="vote_once_per_station_and_manifest",
            ),
            models.CheckConstraint(condition=models.Q(choice__in=Choice.values), name="vote_choice_known"),
            models.CheckConstraint(
                condition=models.Q(choice=Choice.GO) | models.Q(comment__gt=""), name="vote_says_why"
            ),
        ]


class BreakGlass(models.Model):
    """Two people open a closed gate, for a reason and a while; shown on the board for ever."""

    release = models.ForeignKey("releases.Release", on_delete=models.PROTECT, related_name="break_glass")
    #: What the two agreed to deploy by. Empty in rows older than this column: these open nothing.
    plan_version = models.ForeignKey("releases.PlanVersion", on_delete=models.PROTECT, null=True, related_name="+")
    reason = models.TextField()
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField()
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    approved_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)
    blockers = models.JSONField(default=list)

    class Meta:
        ordering: ClassVar = ["-requested_at"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(approved_by__isnull=True) | ~models.Q(approved_by=models.F("requested_by")),
                name="break_glass_two_people",
            ),
            models.CheckConstraint(
                condition=models.Q(expires_at__gt=models.F("requested_at")), name="break_glass_expires_later"
            ),
            models.CheckConstraint(condition=models.Q(reason__gt=""), name="break_glass_has_a_reason"),
        ]
