"""When a check of the plan is started without anybody pressing a button."""

from typing import ClassVar

from django.conf import settings
from django.db import models


class Schedule(models.Model):
    """One check in one place on a rhythm.

    ``task`` is the row that the scheduler reads; ``checks.scheduling`` keeps both in step.
    ``due_at``: when it starts next, or should have; null while paused.
    ``last_refusal``: why the newest start came to no run, empty when it did.
    ``missed_at``: the newest due time at which neither the scheduler nor a worker was there.
    """

    application = models.ForeignKey("releases.Application", on_delete=models.PROTECT, related_name="schedules")
    environment = models.ForeignKey("releases.Environment", on_delete=models.PROTECT, related_name="schedules")
    section = models.CharField(max_length=120)
    cron = models.CharField(max_length=200, help_text="Minute, hour, day of the month, month, day of the week.")
    zone = models.CharField(max_length=63, default="UTC")
    paused = models.BooleanField(default=False)
    task = models.OneToOneField(
        "django_celery_beat.PeriodicTask", on_delete=models.SET_NULL, null=True, related_name="gonogo_schedule"
    )
    due_at = models.DateTimeField(null=True)
    last_run = models.ForeignKey("checks.Run", on_delete=models.SET_NULL, null=True, related_name="+")
    last_started_at = models.DateTimeField(null=True)
    last_refusal = models.CharField(max_length=500, blank=True)
    missed_at = models.DateTimeField(null=True)
    created_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        ordering: ClassVar = ["application", "environment", "section", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["application", "environment", "section", "cron", "zone"], name="schedule_once"
            )
        ]
        indexes: ClassVar = [models.Index(fields=["due_at"], name="schedule_due")]

    def __str__(self) -> str:
        return f"{self.section} in {self.environment.name}, {self.cron} {self.zone}"
