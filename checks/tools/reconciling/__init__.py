"""Reconcile: prove that two PostgreSQL databases agree, or name each row that differs.

    comparison = compare(source, target, Options(tables=["public.person"]), seen=show, check=context.check)
    comparison.agrees            # rows, schema, sequences, large objects
    comparison.data_agrees       # rows and large objects only
    comparison.tables[0].changed # exact, however many

Both sides are read at once, each in one snapshot, by as many sessions as ``Options.workers`` says. A first pass sums a
64-bit hash of each row, with a random seed, into buckets of about 4,000 rows. Only buckets that differ are read again.
"""

from checks.tools.reconciling.comparing import PHASES, compare
from checks.tools.reconciling.options import Options
from checks.tools.reconciling.results import (
    Cell,
    Comparison,
    Difference,
    Progress,
    SequenceDifference,
    SideFacts,
    TableResult,
    Tally,
)
from checks.tools.reconciling.resuming import Keeper

__all__ = [
    "PHASES",
    "Cell",
    "Comparison",
    "Difference",
    "Keeper",
    "Options",
    "Progress",
    "SequenceDifference",
    "SideFacts",
    "TableResult",
    "Tally",
    "compare",
]
