"""A restored database against the manifest of its backup: one sentence for each difference."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from checks.tools import digest, facts, manifest, schema
from checks.tools.digest import SequenceState
from checks.tools.postgres import Connection

MAX_NAMED = 50


@dataclass(frozen=True)
class Comparison:
    """``tables``: one row for each table with both sides. ``areas``: what was compared, and a sentence for each
    difference in it; none means equal.
    """

    tables: list[dict[str, Any]]
    areas: Mapping[str, list[str]]
    sequences: int = 0
    objects: int = 0

    @property
    def differences(self) -> list[str]:
        return [sentence for told in self.areas.values() for sentence in told]


class Pace:
    """How far a comparison is, in rows of the manifest: noted in the thread that compares, read in the run's own."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._rows = {name: table["rows"] for name, table in document["tables"].items()}
        self.total = sum(self._rows.values())
        self.done = 0
        self.doing = "tables"

    def note(self, what: str, _tables: int, _of: int) -> None:
        """``what`` is looked at next, so what came before it is done."""
        self.done += self._rows.get(self.doing, 0)
        self.doing = what


def compare(connection: Connection, document: Mapping[str, Any], pace: Pace | None = None) -> Comparison:
    """Rows, checksums, large objects, sequences and schema. Takes its numbers from the connected database."""
    found = facts.content(
        connection, document["seed"], chained=manifest.chained(document), depth=manifest.schema_depth(document),
        note=pace.note if pace else None,
    )  # fmt: skip
    rows, told = _tables(document["tables"], found["tables"])
    areas = {
        "Rows and checksums of each table": told,
        "Large objects": _large_objects(document["large_objects"], found["large_objects"]),
        "Sequences": sequence_differences(connection, document),
        "Schema": _schema(document["schema"], found["schema"]),
    }
    return Comparison(rows, areas, len(document["sequences"]), len(document["schema"]["objects"]))


def _tables(expected: Mapping[str, Any], found: Mapping[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    rows, told = [], []
    for name in sorted(expected.keys() | found.keys()):
        was, now = expected.get(name), found.get(name)
        equal = was == now
        rows.append({"table": name, "expected": was and was["rows"], "found": now and now["rows"], "equal": equal})
        if equal:
            continue
        if now is None:
            told.append(f"Table {name} of the backup is missing after the restore.")
        elif was is None:
            told.append(f"Table {name} is there after the restore, but not in the backup.")
        elif was["rows"] != now["rows"]:
            told.append(f"Table {name} has {now['rows']:,} rows after the restore and had {was['rows']:,}.")
        else:
            told.append(f"Table {name} has as many rows as it had ({now['rows']:,}), but their content differs.")
    return rows, told


def _large_objects(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    if expected["rows"] != found["rows"]:
        return [f"There are {found['rows']:,} large objects after the restore, and there were {expected['rows']:,}."]
    return [] if expected == found else ["The content of the large objects differs."]


def sequence_differences(connection: Connection, document: Mapping[str, Any]) -> list[str]:
    """Sequences are outside of snapshots, so the dump's value lies between the two noted around it.

    What counts is the number that comes next; manifests of before noted only the last one, where there was one. One
    that stands behind the values of its column is told only where that was not so before.
    """
    expected, told = document["sequences"], []
    found = digest.sequences(connection)
    for name, was in sorted(expected.items()):
        now = found.get(name)
        if now is None:
            told.append(f"Sequence {name} of the backup is missing after the restore.")
            continue
        told += _moved(name, was, now)
    told += [f"Sequence {name} appeared after the restore." for name in sorted(found.keys() - expected.keys())]
    for name, position, extreme in digest.behind_their_column(connection):
        if name not in document["behind"]:
            told.append(f"Sequence {name} stands at {_shown(position)}, behind the value {extreme} of its own column.")
    return told


def _moved(name: str, was: Mapping[str, Any], now: SequenceState) -> list[str]:
    """A sentence where a sequence does not stand between the two places that the manifest noted."""
    if "next_before" in was:
        ends = sorted((was["next_before"], was["next_after"]))
        if ends[0] <= now.following <= ends[1]:
            return []
        return [
            f"Sequence {name} gives out {now.following} next after the restore;"
            f" it would have given out {was['next_before']} to {was['next_after']}."
        ]
    # None is before every number: nothing was given out yet, and nobody noted from where it would have been.
    order = [
        (0, 0) if position is None else (1, position if now.increment > 0 else -position)
        for position in (was["before"], now.position, was["after"])
    ]
    if order[0] <= order[1] <= order[2]:
        return []
    return [
        f"Sequence {name} stands at {_shown(now.position)} after the restore;"
        f" it stood at {_shown(was['before'])} to {_shown(was['after'])}."
    ]


def _shown(position: int | None) -> str:
    return "its start" if position is None else str(position)


def _schema(expected: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    missing, surplus, changed = schema.differences(expected["objects"], found["objects"])
    told = [f"The {name} is missing after the restore." for name in missing]
    told += [f"The {name} is there after the restore, but not in the backup." for name in surplus]
    told += [f"The {name} is defined otherwise after the restore." for name in changed]
    if len(told) > MAX_NAMED:
        told = [*told[:MAX_NAMED], f"{len(told) - MAX_NAMED:,} more differences of the schema."]
    return told
