"""A release: exactly one build on its way to exactly one environment."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.db import models

from releases.enums import ReleaseState

_OCCUPYING = [ReleaseState.DEPLOYING, ReleaseState.FAILED, ReleaseState.UNKNOWN, ReleaseState.WATCHING]


class Release(models.Model):
    """``build_digest`` is the SHA-256 hex of the one artifact file; every run checks it before using it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    application = models.ForeignKey("releases.Application", on_delete=models.PROTECT, related_name="releases")
    version = models.CharField(max_length=100)
    title = models.CharField(max_length=200, blank=True)
    notes = models.TextField(blank=True)
    build_name = models.CharField(max_length=300)
    build_digest = models.CharField(max_length=64)
    build_size = models.BigIntegerField()
    build_key = models.CharField(max_length=500, help_text="Where the artifact is kept in storage.")
    plan_version = models.ForeignKey("releases.PlanVersion", on_delete=models.PROTECT, related_name="releases")
    source_environment = models.ForeignKey("releases.Environment", on_delete=models.PROTECT, related_name="+")
    target_environment = models.ForeignKey("releases.Environment", on_delete=models.PROTECT, related_name="releases")
    requester = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="requested_releases")
    state = models.CharField(max_length=20, choices=ReleaseState.choices, default=ReleaseState.DRAFT)
    state_since = models.DateTimeField()
    window_opens = models.DateTimeField(null=True, blank=True)
    window_closes = models.DateTimeField(null=True, blank=True)
    poll_opened_at = models.DateTimeField(null=True, blank=True)
    poll_round = models.PositiveIntegerField(default=1, help_text="Raised by each rollback: people vote anew.")
    watch_until = models.DateTimeField(null=True, blank=True)
    live_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["-created_at"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(state__in=ReleaseState.values), name="release_state_known"),
            models.CheckConstraint(
                condition=models.Q(build_digest__regex=r"^[0-9a-f]{64}$"), name="release_build_digest_is_sha256"
            ),
            models.CheckConstraint(
                condition=models.Q(window_opens__isnull=True, window_closes__isnull=True)
                | models.Q(window_closes__gt=models.F("window_opens")),
                name="release_window_in_order",
            ),
            models.UniqueConstraint(
                fields=["target_environment"],
                condition=models.Q(state__in=_OCCUPYING),
                name="release_one_under_way_per_environment",
            ),
            models.UniqueConstraint(
                fields=["application", "version"],
                condition=~models.Q(state=ReleaseState.CANCELLED),
                name="release_version_once",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["state", "window_opens"]),
            models.Index(fields=["application", "-created_at"]),
        ]

    def __str__(self) -> str:
        return f"{self.application} {self.version}"
