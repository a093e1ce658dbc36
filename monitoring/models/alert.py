"""Alerts and their deliveries: an outbox, so that a broken channel loses nothing."""

from typing import ClassVar

from django.conf import settings
from django.db import models


class Alert(models.Model):
    """What administrators are told. A test alert answers the monitoring requirement once a person confirms it."""

    application = models.ForeignKey("releases.Application", on_delete=models.CASCADE, related_name="alerts")
    release = models.ForeignKey("releases.Release", on_delete=models.SET_NULL, null=True, related_name="alerts")
    incident = models.ForeignKey("monitoring.Incident", on_delete=models.CASCADE, null=True, related_name="alerts")
    kind = models.CharField(max_length=20)  # opened, closed, test, watch, notice
    subject = models.CharField(max_length=200)
    body = models.TextField()
    created_at = models.DateTimeField()
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    receipt_code = models.CharField(max_length=64, unique=True)
    received_at = models.DateTimeField(null=True)
    received_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering: ClassVar = ["-created_at"]

    def __str__(self) -> str:
        return self.subject

    @property
    def look(self) -> str:
        """One word for how far it came: received, sent, failed, sending, or queued where there is no channel."""
        deliveries = list(self.deliveries.all())
        if self.received_at:
            return "received"
        if any(delivery.delivered_at for delivery in deliveries):
            return "sent"
        if not deliveries or all(delivery.failed_at for delivery in deliveries):
            return "failed"
        return "sending" if any(delivery.attempts for delivery in deliveries) else "queued"


class AlertDelivery(models.Model):
    """One alert to one channel. ``channel`` names it without its secrets."""

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="deliveries")
    channel = models.CharField(max_length=200)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField()
    delivered_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=500, blank=True)

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["alert", "channel"], name="alert_delivery_once")]
        indexes: ClassVar = [
            models.Index(
                fields=["next_attempt_at"],
                condition=models.Q(delivered_at__isnull=True, failed_at__isnull=True),
                name="alert_due",
            )
        ]

    def __str__(self) -> str:
        return f"{self.alert} to {self.channel}"

    @property
    def look(self) -> str:
        if self.delivered_at:
            return "sent"
        if self.failed_at:
            return "failed"
        return "sending" if self.attempts else "queued"
