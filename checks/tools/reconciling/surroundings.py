"""What is no row of a table: schema, extensions, sequences, large objects."""

import re
from collections.abc import Mapping, Sequence
from typing import LiteralString

from checks.tools import digest, schema
from checks.tools.digest import SequenceState
from checks.tools.postgres import Connection
from checks.tools.reconciling.options import Options
from checks.tools.reconciling.results import SequenceDifference, Sort

_EXTENSIONS: LiteralString = "SELECT extname, extversion FROM pg_catalog.pg_extension ORDER BY 1"


def schema_objects(connection: Connection) -> tuple[dict[str, str], dict[str, str]]:
    """(object -> hash of its definition, extension -> version)."""
    return schema.schema_objects(connection), dict(connection.execute(_EXTENSIONS).fetchall())


def schema_differences(
    source: Mapping[str, str], target: Mapping[str, str], options: Options, labels: Sequence[str]
) -> dict[Sort, list[str]]:
    """Names of objects that are missing, extra or changed in the target. Of a selection only what names a table."""
    missing, extra, changed = schema.differences(source, target)
    chosen = {label for label in labels if options.selects(label)}

    def kept(name: str) -> bool:
        return not (options.tables or options.leave_out) or _table_of(name) in chosen

    return {
        "missing": list(filter(kept, missing)),
        "extra": list(filter(kept, extra)),
        "changed": list(filter(kept, changed)),
    }


_NAMED = re.compile(
    r"^(?:table|column|parents of table|(?:(?:unproven )?constraint|trigger|(?:roles of )?policy|rule) .* on)"
    r' ("(?:[^"]|"")+"|[^".]+)\.("(?:[^"]|"")+"|[^".]+)'
)


def _table_of(name: str) -> str:
    """'column public.person.email' -> 'public.person'; '' for what belongs to no table."""
    match = _NAMED.match(name)
    return ".".join(_plain(part) for part in match.groups()) if match else ""


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
    behind: Sequence[tuple[str, int | None, int]], options: Options,
) -> list[SequenceDifference]:  # fmt: skip
    """Identical: every next number must be the same. Equivalent: the target's may be further on."""
    found = []
    for name in sorted(source.keys() | target.keys()):
        was, now = source.get(name), target.get(name)
        table = was.owner[0] if was and was.owner else now.owner[0] if now and now.owner else None
        if not _selected(table, options):
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
        elif was.following != now.following and (options.mode == "identical" or not now.passed(was)):
            said = "stands elsewhere" if now.passed(was) else "stands behind the source"
            if None in (was.position, now.position):
                said += f": {was.following} comes next there, and {now.following} here"
            found.append(SequenceDifference(name, was.position, now.position, said))
    told = {item.name for item in found}
    for name, position, extreme in behind:
        owner = target[name].owner
        if name not in told and _selected(owner[0] if owner else None, options):
            before = source[name].position if name in source else None
            found.append(SequenceDifference(name, before, position, f"stands behind the value {extreme} of its column"))
    return found


def _selected(table: str | None, options: Options) -> bool:
    if not options.tables and not options.leave_out:
        return True
    return table is not None and options.selects(_table_of(f"table {table}"))
