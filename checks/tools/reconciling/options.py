"""What to compare and how."""

import fnmatch
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from checks.errors import CheckError

#: Columns whose values are never shown, only whether they are equal.
HIDDEN_NAMES = re.compile(
    r"(^|_)(pass|passwd|password|passphrase|token|secret|key|credential|otp)s?(_|$)", re.IGNORECASE
)


@dataclass(frozen=True)
class Options:
    """``mode``: identical compares what is stored; equivalent lets ``normalise`` declare what does not matter.

    Tables are named 'schema.table', 'table', or by a pattern with * and ?; the mappings take such names too.
    ``tables``: those to compare (all). ``leave_out``: those not to. ``columns``: table -> the only columns to compare.
    ``ignore_columns``: table -> columns not to. ``keys``: table -> columns that tell rows apart, where the database
    declares none or another. ``normalise``: table -> column -> normalisers, applied in that order.
    ``hide``: patterns of column names whose values are not shown, besides HIDDEN_NAMES.
    ``schema``, ``sequences``, ``large_objects``: whether these are compared too.
    ``workers``: sessions on each side. ``details``: so many differences of each sort are told for each table.
    ``lock_seconds``: how long to wait for a locked table. ``seed``: of the hashes; a random one when None.
    ``scratch``: a folder for what does not fit in memory; the system's own when None.
    """

    mode: Literal["identical", "equivalent"] = "identical"
    tables: Sequence[str] = ()
    leave_out: Sequence[str] = ()
    columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ignore_columns: Mapping[str, Sequence[str]] = field(default_factory=dict)
    keys: Mapping[str, Sequence[str]] = field(default_factory=dict)
    normalise: Mapping[str, Mapping[str, Sequence[str]]] = field(default_factory=dict)
    hide: Sequence[str] = ()
    show: Sequence[str] = ()
    schema: bool = True
    sequences: bool = True
    large_objects: bool = True
    workers: int = 1
    details: int = 200
    lock_seconds: float = 30
    seed: int | None = None
    scratch: Path | None = None

    def selects(self, label: str) -> bool:
        chosen = not self.tables or any(matches(label, pattern) for pattern in self.tables)
        return chosen and not self.leaves_out(label)

    def leaves_out(self, label: str) -> bool:
        return any(matches(label, pattern) for pattern in self.leave_out)

    def hides(self, column: str) -> bool:
        if any(fnmatch.fnmatchcase(column.lower(), pattern.lower()) for pattern in self.hide):
            return True
        if any(fnmatch.fnmatchcase(column.lower(), pattern.lower()) for pattern in self.show):
            return False
        return HIDDEN_NAMES.search(column) is not None

    def refuse_idle_names(self, labels: Sequence[str], unread: Mapping[str, str]) -> None:
        """A name that matches no table is a mistake of the plan, and could make a comparison of nothing a pass.

        ``unread``: what is never read, and why; only ``leave_out`` may name it.
        """
        selecting = {*self.tables, *self.columns, *self.ignore_columns, *self.keys, *self.normalise}
        idle = {name for name in selecting if not any(matches(label, name) for label in labels)}
        for label, why in unread.items():
            if any(matches(label, name) for name in idle):
                raise CheckError(
                    f"The plan selects {label}, which is not compared. It is left out: {why}.",
                    remedy="Compare what it is made of, on the server that has it, and take the name out of the plan.",
                )
        every = [*labels, *unread]
        idle |= {name for name in self.leave_out if not any(matches(label, name) for label in every)}
        if idle:
            raise CheckError(
                f"No table on either side is called {', '.join(sorted(idle))}.",
                remedy="Correct the names in the plan: schema.table, table, or a pattern with *.",
            )

    def refuse_parts_elsewhere(self, found: Sequence[tuple[str, str]]) -> None:
        """``found``: (table, its partition that is a foreign table): rows of the table that nobody would read."""
        for table, part in found:
            if self.selects(table) and not self.leaves_out(part):
                raise CheckError(
                    f"{part}, a part of {table}, is a foreign table: its rows live elsewhere and are not read.",
                    remedy=f"This is no pass. Name {part} in leave_out where {table} shall be compared without it.",
                )


def matches(label: str, pattern: str) -> bool:
    """Whether 'schema.table' is meant by a name or a pattern."""
    name = label.partition(".")[2]
    return fnmatch.fnmatchcase(label, pattern) or ("." not in pattern and fnmatch.fnmatchcase(name, pattern))
