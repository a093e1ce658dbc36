"""States of probes, watches and alerts, each spelled once."""

from django.db import models


class ProbeState(models.TextChoices):
    """unknown: not asked yet, or not often enough to say."""

    UNKNOWN = "unknown", "No data"
    UP = "up", "Up"
    DOWN = "down", "Down"


class WatchState(models.TextChoices):
    """holding: the time is over, and there is not enough data to say anything. superseded: watched anew."""

    WATCHING = "watching", "Watching"
    HOLDING = "holding", "Waits for data"
    PASSED = "passed", "Kept its limits"
    RECOMMENDED = "recommended", "Rollback recommended"
    SUPERSEDED = "superseded", "Watched anew"


class AlertKind(models.TextChoices):
    OPENED = "opened", "Incident opened"
    CLOSED = "closed", "Incident closed"
    TEST = "test", "Test alert"
    WATCH = "watch", "Watch of a new release"
    NOTICE = "notice", "Notice"
