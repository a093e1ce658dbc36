"""Everything that a run leaves behind."""

from checks.models.log import LogChunk
from checks.models.run import Outbox, Run, RunStep

__all__ = ["LogChunk", "Outbox", "Run", "RunStep"]
