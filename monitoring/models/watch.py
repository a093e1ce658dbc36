"""A new release under observation, from its deploy until it is called live or a rollback is recommended."""

from typing import Any, ClassVar

from django.db import models

from monitoring.enums import WatchState

_OPEN = [WatchState.WATCHING, WatchState.HOLDING]


class Watch(models.Model):
    """One time of observation. ``figures``: what monitoring.domain.slo.Figures.as_json gives, of the last look.

    ``until``: when it may end well. ``began_at`` is the moment from which answers count.
    """

    release = models.ForeignKey("releases.Release", on_delete=models.CASCADE, related_name="watches")
    began_at = models.DateTimeField()
    until = models.DateTimeField()
    state = models.CharField(max_length=20, choices=WatchState.choices, default=WatchState.WATCHING)
    figures = models.JSONField(default=dict)
    reason = models.CharField(max_length=500, blank=True)
    looked_at = models.DateTimeField(null=True)
    decided_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar[list[Any]] = ["-began_at"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["release", "began_at"], name="watch_once"),
            models.UniqueConstraint(
                fields=["release"], condition=models.Q(state__in=_OPEN), name="watch_one_open_per_release"
            ),
            models.CheckConstraint(condition=models.Q(state__in=WatchState.values), name="watch_state_known"),
            models.CheckConstraint(
                condition=models.Q(state__in=_OPEN) | models.Q(decided_at__isnull=False),
                name="watch_decided_has_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"Watch of {self.release}"
