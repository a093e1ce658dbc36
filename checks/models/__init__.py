"""Everything that a run leaves behind."""

from checks.models.advisory import Advisory, AdvisoryPackage, AdvisorySnapshot
from checks.models.backup import LateBackup, StoredBackup
from checks.models.finding import Acceptance, Finding, FindingName, Occurrence, Presence, Scan
from checks.models.log import LogChunk
from checks.models.run import Outbox, Run, RunStep
from checks.models.schedule import Schedule

__all__ = [
    "Acceptance",
    "Advisory",
    "AdvisoryPackage",
    "AdvisorySnapshot",
    "Finding",
    "FindingName",
    "LateBackup",
    "LogChunk",
    "Occurrence",
    "Outbox",
    "Presence",
    "Run",
    "RunStep",
    "Scan",
    "Schedule",
    "StoredBackup",
]
