"""What triggers of the target may change though the mapping does not: the plan's ``may_change``, name by name."""

from collections.abc import Iterable, Mapping, Sequence

from checks.errors import CheckError
from checks.tools.postgres import Connection
from checks.tools.transition import bystanders
from checks.tools.transition.work import TableWork


def columns(work: TableWork, may_change: Mapping[str, str]) -> list[str]:
    """Columns of a moved table that may hold something else than was moved."""
    return of_table(work.label, work.target.columns, may_change)


def of_table(label: str, names: Iterable[str], may_change: Mapping[str, str]) -> list[str]:
    """Those of a table's columns that the plan names."""
    return [name for name in names if f"{short(label)}.{name}" in may_change]


def short(label: str) -> str:
    """How the plan names a table: without the schema where that is "public"."""
    return label.removeprefix("public.")


def refuse_unknown(target: Connection, works: Sequence[TableWork], may_change: Mapping[str, str]) -> None:
    """CheckError for a name that allows nothing, since a slip in it would only be noticed in the real move."""
    known = {f"{short(work.label)}.{name}" for work in works for name in work.target.columns}
    known |= {short(table.label) for table in bystanders.tables(target, works)}
    for name in may_change:
        if name not in known:
            raise CheckError(
                f"may_change names {name!r}, which is no column of a moved table, and no other table of the target.",
                remedy="Correct may_change in the plan: table.column for a table that is moved, and table for any other"
                " one. Nothing was written.",
            )
