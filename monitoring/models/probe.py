"""An address that is asked again and again, and each answer."""

from typing import ClassVar

from django.db import models


class Probe(models.Model):
    """Made from the plan's addresses. ``expect_text`` empty: the body is not looked at."""

    environment = models.ForeignKey("releases.Environment", on_delete=models.CASCADE, related_name="probes")
    name = models.CharField(max_length=100)
    url = models.URLField(max_length=1000)
    interval_seconds = models.PositiveIntegerField(default=10)
    timeout_seconds = models.PositiveIntegerField(default=5)
    expect_status = models.PositiveIntegerField(default=200)
    expect_text = models.CharField(max_length=300, blank=True)
    slow_after_ms = models.PositiveIntegerField(default=2000)
    enabled = models.BooleanField(default=True)
    # Flap control: that many in a row before an incident opens or closes.
    down_after = models.PositiveIntegerField(default=3)
    up_after = models.PositiveIntegerField(default=3)
    state = models.CharField(max_length=10, default="unknown")
    state_since = models.DateTimeField(null=True)
    streak = models.IntegerField(default=0, help_text="Positive: answers in a row that were up; negative: down.")
    last_checked_at = models.DateTimeField(null=True)
    first_up_at = models.DateTimeField(null=True, help_text="Before this, nobody is told that it is down.")

    class Meta:
        ordering: ClassVar = ["environment", "name"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["environment", "name"], name="probe_name_once"),
            models.CheckConstraint(condition=models.Q(state__in=["unknown", "up", "down"]), name="probe_state_known"),
        ]

    def __str__(self) -> str:
        return self.name


class ProbeResult(models.Model):
    """One answer, or the reason why there was none."""

    probe = models.ForeignKey(Probe, on_delete=models.CASCADE, related_name="results")
    at = models.DateTimeField()
    up = models.BooleanField()
    status = models.PositiveIntegerField(null=True)
    response_ms = models.FloatField(null=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering: ClassVar = ["-at"]
        indexes: ClassVar = [
            models.Index(fields=["probe", "-at"], include=["up", "response_ms"], name="probe_result_recent")
        ]

    def __str__(self) -> str:
        return f"{self.probe} at {self.at:%Y-%m-%d %H:%M:%S}"
