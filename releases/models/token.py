"""Keys by which a program, such as CI, sends reports in a person's name."""

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.utils import timezone


class ReportToken(models.Model):
    """One key for one application. Only the SHA-256 of it is kept; the key itself is shown once.

    What it sends is sent by ``owner``, who needs the right at that moment.
    """

    application = models.ForeignKey("releases.Application", on_delete=models.PROTECT, related_name="report_tokens")
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64, unique=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="+"
    )

    class Meta:
        ordering: ClassVar = ["revoked_at", "-created_at"]

    def __str__(self) -> str:
        return self.name

    @property
    def state(self) -> str:
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if self.expires_at > timezone.now() else "expired"
