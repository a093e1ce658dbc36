"""A run of a kind, its steps, and the outbox that hands it to a worker."""

import uuid
from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models

from checks.enums import ACTIVE_STATES, RunState, StepCategory, StepState

_HOLDING = [*ACTIVE_STATES, RunState.UNKNOWN]


class Run(models.Model):
    """One execution of one plan section.

    Only ``checks.engine`` writes state, token, owner and lease; each of its writes carries ``WHERE token = ...``.
    ``params``: validated by the kind's Params. ``result``: what the kind's page shows.
    ``progress``: {"fraction": 0..1 or null, "doing": str, "done": number, "total": number, "unit": str}.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    number = models.BigIntegerField(unique=True, editable=False, help_text="From a sequence; the #31 people say.")
    application = models.ForeignKey("releases.Application", on_delete=models.PROTECT, related_name="runs")
    release = models.ForeignKey("releases.Release", on_delete=models.PROTECT, null=True, related_name="runs")
    environment = models.ForeignKey("releases.Environment", on_delete=models.PROTECT, related_name="runs")
    plan_version = models.ForeignKey("releases.PlanVersion", on_delete=models.PROTECT, related_name="runs")
    kind = models.CharField(max_length=60)
    section = models.CharField(max_length=120)
    section_digest = models.CharField(max_length=64)
    build_digest = models.CharField(max_length=64, blank=True)
    params = models.JSONField(default=dict)

    state = models.CharField(max_length=20, choices=RunState.choices, default=RunState.QUEUED)
    attempt = models.PositiveIntegerField(default=0)
    token = models.BigIntegerField(null=True, unique=True, help_text="The fence: taken from a sequence at each claim.")
    owner = models.UUIDField(null=True)
    worker = models.CharField(max_length=200, blank=True)
    lease_until = models.DateTimeField(null=True)
    cancel_requested_at = models.DateTimeField(null=True)
    cancel_requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+"
    )
    alone_in = ArrayField(
        models.BigIntegerField(),
        default=list,
        help_text="Ids of environments in which no other run that names them, and no deploy, may run meanwhile.",
    )
    exclusive = models.BooleanField(default=False, help_text="Deploy or rollback: one at a time for an environment.")

    progress = models.JSONField(default=dict)
    verdict = models.CharField(max_length=20, blank=True)
    summary = models.CharField(max_length=500, blank=True)
    result = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    remedy = models.TextField(blank=True)

    started_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    retry_of = models.ForeignKey("self", on_delete=models.PROTECT, null=True, related_name="retries")
    waits_for = models.ForeignKey(
        "self",
        on_delete=models.PROTECT,
        null=True,
        related_name="followers",
        help_text="It goes to a worker after that.",
    )
    created_at = models.DateTimeField()
    queued_at = models.DateTimeField()
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    log_lines = models.BigIntegerField(default=0, help_text="Lines committed for the current attempt.")
    log_bytes = models.BigIntegerField(default=0)
    log_sealed = models.BooleanField(default=False)
    log_key = models.CharField(max_length=500, blank=True, help_text="The rest of an oversized log, in storage.")

    class Meta:
        ordering: ClassVar = ["-number"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(state__in=RunState.values), name="run_state_known"),
            models.CheckConstraint(
                condition=~models.Q(state=RunState.RUNNING)
                | models.Q(token__isnull=False, owner__isnull=False, lease_until__isnull=False, attempt__gt=0),
                name="run_running_is_owned",
            ),
            models.CheckConstraint(
                condition=models.Q(state__in=[*ACTIVE_STATES]) | models.Q(ended_at__isnull=False),
                name="run_ended_has_a_time",
            ),
            models.UniqueConstraint(
                fields=["environment"],
                condition=models.Q(exclusive=True, state__in=_HOLDING),
                name="run_one_deploy_per_environment",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["application", "-number"]),
            models.Index(fields=["release", "section", "-number"]),
            models.Index(fields=["environment", "section", "state", "-number"]),
            models.Index(fields=["lease_until"], condition=models.Q(state=RunState.RUNNING), name="run_leases"),
            models.Index(fields=["queued_at"], condition=models.Q(state=RunState.QUEUED), name="run_queue"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} #{self.number}"

    @property
    def active(self) -> bool:
        return self.state in ACTIVE_STATES

    @property
    def log_channel(self) -> str:
        return f"gonogo:run:{self.id}"


class RunStep(models.Model):
    """One step of one attempt. ``figures`` is shown beside it."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="steps")
    attempt = models.PositiveIntegerField()
    position = models.PositiveIntegerField()
    key = models.CharField(max_length=100)
    title = models.CharField(max_length=200)
    category = models.CharField(max_length=20, choices=StepCategory.choices, default=StepCategory.CHECK)
    state = models.CharField(max_length=20, choices=StepState.choices, default=StepState.WAITING)
    fraction = models.FloatField(null=True)
    doing = models.CharField(max_length=300, blank=True)
    reason = models.CharField(max_length=500, blank=True)
    figures = models.JSONField(default=dict)
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["attempt", "position"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["run", "attempt", "position"], name="run_step_once"),
            models.UniqueConstraint(fields=["run", "attempt", "key"], name="run_step_key_once"),
            models.CheckConstraint(condition=models.Q(state__in=StepState.values), name="run_step_state_known"),
        ]

    def __str__(self) -> str:
        return self.title


class Outbox(models.Model):
    """A message to a worker, committed with the run it speaks of; the relay publishes it, again if need be."""

    run = models.ForeignKey(Run, on_delete=models.CASCADE, related_name="outbox")
    queue = models.CharField(max_length=100)
    created_at = models.DateTimeField()
    published_at = models.DateTimeField(null=True)
    publish_count = models.PositiveIntegerField(default=0)

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["id"], condition=models.Q(published_at__isnull=True), name="outbox_unpublished")
        ]
