"""Published advisories about packages, in OSV's form, as they stood when somebody imported them."""

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models


class AdvisorySnapshot(models.Model):
    """One import. Only ``checks.advisories.importing`` writes it.

    ``ecosystems``: {"PyPI": 2651}, advisories for each; for each of them the newest snapshot that has it counts.
    ``newest``: when the newest advisory was changed of the ecosystem that was changed longest ago, which is how old the
    data is. ``withdrawn``: left out.
    ``unreadable``: names of files that were skipped because the person who imported it said so.
    """

    source = models.CharField(max_length=300)
    sha256 = models.CharField(max_length=64, blank=True, help_text="Of the archive; empty for a folder.")
    files = models.PositiveIntegerField()
    advisories = models.PositiveIntegerField()
    withdrawn = models.PositiveIntegerField()
    unreadable = ArrayField(models.CharField(max_length=300), default=list)
    ecosystems = models.JSONField(default=dict)
    newest = models.DateTimeField()
    imported_at = models.DateTimeField()
    imported_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    seconds = models.FloatField()

    class Meta:
        ordering: ClassVar = ["-imported_at", "-pk"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(advisories__gt=0), name="advisory_snapshot_not_empty")
        ]

    def __str__(self) -> str:
        return self.source


class Advisory(models.Model):
    """One OSV entry that is not withdrawn. ``names``: its id and aliases in capitals; ``document``: as published."""

    snapshot = models.ForeignKey(AdvisorySnapshot, on_delete=models.CASCADE, related_name="entries")
    osv_id = models.CharField(max_length=100)
    names = ArrayField(models.CharField(max_length=100), default=list)
    modified = models.DateTimeField()
    document = models.JSONField()

    class Meta:
        constraints: ClassVar = [models.UniqueConstraint(fields=["snapshot", "osv_id"], name="advisory_once")]
        indexes: ClassVar = [GinIndex(fields=["names"], name="advisory_names")]

    def __str__(self) -> str:
        return self.osv_id


class AdvisoryPackage(models.Model):
    """That an advisory speaks of a package; ``package`` in the spelling in which its ecosystem compares names."""

    advisory = models.ForeignKey(Advisory, on_delete=models.CASCADE, related_name="packages")
    ecosystem = models.CharField(max_length=60)
    package = models.CharField(max_length=300)

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["advisory", "ecosystem", "package"], name="advisory_package_once")
        ]
        indexes: ClassVar = [models.Index(fields=["ecosystem", "package"], name="advisory_of_package")]

    def __str__(self) -> str:
        return f"{self.package} ({self.ecosystem})"
