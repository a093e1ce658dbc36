"""Findings of audits: recorded by runs, living longer than a release, accepted by two people for a while.

recorded = findings.record(run=context.run, reports=reports, limit=Severity.HIGH)
if recorded.over_limit: ...  # the check says no
"""

from checks.findings.recording import Recorded, record

__all__ = ["Recorded", "record"]
