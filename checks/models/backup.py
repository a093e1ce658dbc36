"""What stands in storage as backups, mirrored for pages, retention and alarms. Storage itself is the truth."""

from datetime import UTC, datetime
from typing import ClassVar, Final

from django.db import models


class StoredBackup(models.Model):
    """One published backup. ``checks.tools.catalogue`` writes it and compares it with storage.

    ``verified_at``: when every byte was last read back and was what was written. ``fault``: what a later look found
    wrong, empty while nothing is. ``drilled_at``: when a restore of it was last proved equal to what was dumped.
    ``removed_at``: retention took it away, for ``removed_because``. ``missing_at``: it is gone, and not by us.
    """

    #: Sorts before every time at which something was read.
    NEVER: Final = datetime.min.replace(tzinfo=UTC)

    application = models.ForeignKey("releases.Application", on_delete=models.PROTECT, related_name="backups")
    environment = models.ForeignKey("releases.Environment", on_delete=models.PROTECT, related_name="backups")
    run = models.ForeignKey("checks.Run", on_delete=models.PROTECT, null=True, related_name="+")
    manifest_key = models.CharField(max_length=500, unique=True)
    snapshot_at = models.DateTimeField()
    finished_at = models.DateTimeField()
    seconds = models.FloatField()
    stored_bytes = models.BigIntegerField()
    plain_bytes = models.BigIntegerField()
    database_bytes = models.BigIntegerField()
    tables = models.PositiveIntegerField()
    rows = models.BigIntegerField()
    key_id = models.CharField(max_length=100)
    server = models.CharField(max_length=40)
    verified_at = models.DateTimeField(null=True)
    fault = models.TextField(blank=True)
    drilled_at = models.DateTimeField(null=True)
    drill = models.ForeignKey("checks.Run", on_delete=models.PROTECT, null=True, related_name="+")
    removed_at = models.DateTimeField(null=True)
    removed_because = models.CharField(max_length=300, blank=True)
    removed_by = models.ForeignKey("checks.Run", on_delete=models.PROTECT, null=True, related_name="+")
    missing_at = models.DateTimeField(null=True)

    class Meta:
        ordering: ClassVar = ["-snapshot_at", "-pk"]
        indexes: ClassVar = [models.Index(fields=["environment", "-snapshot_at"], name="backup_of_environment")]

    def __str__(self) -> str:
        return self.manifest_key

    @property
    def is_there(self) -> bool:
        return self.removed_at is None and self.missing_at is None

    @property
    def is_sound(self) -> bool:
        """Read back whole, and nothing wrong was found since."""
        return self.is_there and self.verified_at is not None and not self.fault

    @property
    def look(self) -> str:
        """One word for what is known of it."""
        if self.removed_at is not None:
            return "removed"
        if self.missing_at is not None:
            return "missing"
        if self.fault:
            return "faulty"
        if self.drilled_at is not None:
            return "drilled"
        return "verified" if self.verified_at is not None else "unverified"


class LateBackup(models.Model):
    """An environment whose newest sound backup is older than the plan allows; the row stands while that is so."""

    environment = models.OneToOneField("releases.Environment", on_delete=models.CASCADE, related_name="late_backup")
    since = models.DateTimeField()
    reason = models.CharField(max_length=300)

    def __str__(self) -> str:
        return self.reason
