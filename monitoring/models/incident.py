"""Something is down, from when to when, and who took notice."""

from typing import ClassVar

from django.conf import settings
from django.db import models


class Incident(models.Model):
    """One open incident for a probe at a time."""

    probe = models.ForeignKey("monitoring.Probe", on_delete=models.CASCADE, related_name="incidents")
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField(null=True)
    reason = models.CharField(max_length=300)
    release = models.ForeignKey("releases.Release", on_delete=models.SET_NULL, null=True, related_name="incidents")
    acknowledged_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    acknowledged_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-opened_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["probe"], condition=models.Q(closed_at__isnull=True), name="incident_one_open_per_probe"
            )
        ]

    def __str__(self) -> str:
        return f"{self.probe}: {self.reason}"

    @property
    def look(self) -> str:
        if self.closed_at:
            return "closed"
        return "acknowledged" if self.acknowledged_at else "open"
