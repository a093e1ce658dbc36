"""Everything that a run leaves behind."""

from checks.models.backup import LateBackup, StoredBackup
from checks.models.log import LogChunk
from checks.models.run import Outbox, Run, RunStep
from checks.models.schedule import Schedule

__all__ = ["LateBackup", "LogChunk", "Outbox", "Run", "RunStep", "Schedule", "StoredBackup"]
