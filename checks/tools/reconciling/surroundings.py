"""What is no row of a table: schema, extensions, sequences, large objects."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import LiteralString

from checks.tools import digest, schema
from checks.tools.digest import SequenceState
from checks.tools.postgres import Connection
from checks.tools.reconciling.options import Options
from checks.tools.reconciling.results import SequenceDifference, Sort

_EXTENSIONS: LiteralString = "SELECT extname, extversion FROM pg_catalog.pg_extension ORDER BY 1"
_OWNERS: LiteralString = """
    SELECT owned.name, n.nspname || '.' || t.relname
    FROM (
        SELECT format('index %I.%I', n.nspname, c.relname) AS name, i.indrelid AS owner
        FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        UNION ALL SELECT format('sequence %I.%I', n.nspname, c.relname), d.refobjid
        FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE d.classid = 'pg_catalog.pg_class'::regclass AND d.refclassid = 'pg_catalog.pg_class'::regclass
          AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
        UNION ALL SELECT format('table %I.%I', n.nspname, c.relname), c.oid
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relispartition
    ) AS owned
    JOIN pg_catalog.pg_class t ON t.oid = COALESCE(pg_partition_root(owned.owner), owned.owner)
    JOIN pg_catalog.pg_namespace n ON n.oid = t.relnamespace
    WHERE n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
"""
#: What a selection of tables does not reach.
NOT_COMPARED = (
    "Only what belongs to the selected tables was compared: no views, functions, types, extensions that one side lacks,"
    " sequences of other tables or of none, and no large objects."
)


def schema_objects(connection: Connection) -> tuple[dict[str, str], dict[str, str]]:
    """(object -> hash of its definition, extension -> version)."""
    return schema.schema_objects(connection), dict(connection.execute(_EXTENSIONS).fetchall())


@dataclass(frozen=True)
class Selection:
    """What of schema and sequences is compared. ``tables``: names of tables on either side.

    ``owners``: the name of an object or a partition, as the server writes it -> the table that it belongs to.
    """

    options: Options
    tables: Collection[str] = ()
    owners: Mapping[str, str] = field(default_factory=dict)

    def keeps(self, name: str) -> bool:
        """Of selected tables what belongs to them; where tables are left out, all but what belongs to those."""
        table = self._table_of(name)
        if self.options.tables:
            return table in self.tables and self.options.selects(table)
        return table not in self.tables or not self.options.leaves_out(table)

    def _table_of(self, name: str) -> str:
        """'column public.person.email' -> 'public.person'; '' for what belongs to no table."""
        match = _NAMED.match(name)
        table = f"table {match[1]}" if match else name
        if table in self.owners:
            return self.owners[table]
        return ".".join(_plain(part) for part in match.groups()[1:]) if match else ""


def owners(connection: Connection) -> dict[str, str]:
    """``owners`` of a ``Selection``: what one side's catalog says of indexes, sequences and partitions."""
    return dict(connection.execute(_OWNERS).fetchall())


def schema_differences(
    source: Mapping[str, str], target: Mapping[str, str], selected: Selection
) -> dict[Sort, list[str]]:
    """Names of objects that are missing, extra or changed in the target."""
    missing, extra, changed = schema.differences(source, target)
    return {
        "missing": list(filter(selected.keeps, missing)),
        "extra": list(filter(selected.keeps, extra)),
        "changed": list(filter(selected.keeps, changed)),
    }


_NAMED = re.compile(
    r"^(?:(?:foreign )?table|materialized view|column|parents of table"
    r"|(?:(?:unproven )?constraint|trigger|(?:roles of )?policy|rule) .* on)"
    r' (("(?:[^"]|"")+"|[^".]+)\.("(?:[^"]|"")+"|[^".]+))'
)


def _plain(identifier: str) -> str:
    return identifier[1:-1].replace('""', '"') if identifier.startswith('"') else identifier


def extension_differences(source: Mapping[str, str], target: Mapping[str, str]) -> list[str]:
    """Sentences on extensions of other versions; a missing one is an object of the schema."""
    return [
        f"Extension {name} is {source[name]} in the source and {target[name]} in the target."
        for name in sorted(source.keys() & target.keys()) if source[name] != target[name]
    ]  # fmt: skip


def sequences(connection: Connection) -> tuple[dict[str, SequenceState], list[tuple[str, int | None, int]]]:
    """(sequence -> state, sequences that stand behind the values of their column). Outside of any snapshot."""
    return digest.sequences(connection), digest.behind_their_column(connection)


def sequence_differences(
    source: Mapping[str, SequenceState], target: Mapping[str, SequenceState],
    behind: Sequence[tuple[str, int | None, int]], selected: Selection,
) -> list[SequenceDifference]:  # fmt: skip
    """Identical: every next number must be the same. Equivalent: the target's may be further on."""
    found = []
    for name in sorted(source.keys() | target.keys()):
        was, now = source.get(name), target.get(name)
        if not selected.keeps(_named(name, was, now)):
            continue
        if was is None or now is None:
            where = "source" if now is None else "target"
            only = was or now
            assert only is not None
            found.append(
                SequenceDifference(
                    name, was.position if was else None, now.position if now else None, f"only in the {where}"
                )
            )
        elif was.following != now.following and (selected.options.mode == "identical" or not now.passed(was)):
            said = "stands elsewhere" if now.passed(was) else "stands behind the source"
            if None in (was.position, now.position):
                said += f": {was.following} comes next there, and {now.following} here"
            found.append(SequenceDifference(name, was.position, now.position, said))
    told = {item.name for item in found}
    for name, position, extreme in behind:
        if name not in told and selected.keeps(_named(name, target[name])):
            before = source[name].position if name in source else None
            found.append(SequenceDifference(name, before, position, f"stands behind the value {extreme} of its column"))
    return found


def _named(name: str, *states: SequenceState | None) -> str:
    """The sequence by the table that owns it, or by its own name."""
    return next((f"table {state.owner[0]}" for state in states if state and state.owner), f"sequence {name}")
