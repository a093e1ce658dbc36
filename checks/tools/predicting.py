"""What a rehearsal's times become in production, where tables are larger than on the clone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, LiteralString

from checks.tools.postgres import Connection
from checks.tools.rehearsal import State

#: Smaller tables are some pages whatever they hold; their size says nothing.
LEAST_BYTES = 1_000_000
#: Below this the clone counts as large as production.
SAME = 1.1
_SIZES: LiteralString = """
    SELECT n.nspname || '.' || c.relname, pg_catalog.pg_total_relation_size(c.oid)::bigint, GREATEST(c.reltuples, 0)
    FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
      AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
"""


@dataclass(frozen=True)
class Sizes:
    """``tables``: 'schema.table' -> (bytes with indexes and TOAST, rows as the planner knows them)."""

    environment: str
    tables: Mapping[str, tuple[int, float]]


def sizes(connection: Connection, environment: str) -> Sizes:
    rows = connection.execute(_SIZES).fetchall()
    return Sizes(environment, {name: (size, rows_) for name, size, rows_ in rows})


def factors(production: Sizes, clone: State) -> dict[str, float]:
    """'schema.table' -> how many times larger it is in production; never below 1.

    A partitioned table holds nothing itself, and is as many times larger as the partition that is so most.
    """
    found = {}
    for relation in clone.relations.values():
        there = production.tables.get(relation.label)
        if not relation.is_table or relation.kind == "p" or there is None:
            continue
        by_size = there[0] / max(relation.size, LEAST_BYTES)
        here = clone.rows(relation.label)
        by_rows = there[1] / here if here >= 100 else 0.0
        found[relation.label] = max(1.0, by_size, by_rows if there[0] >= LEAST_BYTES else 0.0)
    for relation in clone.relations.values():
        root = clone.relations.get(relation.root)
        if root is not None and root is not relation and relation.label in found:
            found[root.label] = max(found.get(root.label, 1.0), found[relation.label])
    return found


def factor_of(scale: Mapping[str, float], table: str) -> float:
    """How many times larger a table is; where production does not show it, as many times as the one that is so most."""
    return scale.get(table, _most(scale))


def _most(scale: Mapping[str, float]) -> float:
    return max(scale.values(), default=1.0)


def predict(migrations: list[dict[str, Any]], stalls: list[dict[str, Any]], scale: Mapping[str, float]) -> float:
    """Add ``predicted`` (seconds) to each migration and stall; returns the largest factor that was used.

    The time of a statement grows in proportion to the largest table that it names or locks; what a migration does
    between its statements grows with the largest of all of them. A stall grows as its migration does, as its table
    does, or as the largest statement does that ran meanwhile, whichever is most. What nobody watched may have touched
    any table: it grows as the largest of all.
    """
    by_word: dict[str, float] = {}
    for label, factor in scale.items():
        word = label.rpartition(".")[2].lower()
        by_word[word] = max(by_word.get(word, 1.0), factor)
    ratios = {row["migration"]: _predict_migration(row, by_word, scale) for row in migrations}
    by_name = {row["migration"]: row for row in migrations}
    used = [1.0, *ratios.values()]
    for stall in stalls:
        row = by_name.get(stall["migration"])
        during = _during(stall, row, by_word, scale) if row is not None else []
        of_migration = ratios.get(stall["migration"], _most(scale))
        ratio = max(of_migration, factor_of(scale, stall["table"]), *during)
        stall["predicted"] = round(stall["seconds"] * ratio, 4)
        used.append(ratio)
    for row in migrations:
        mine = [stall["predicted"] for stall in stalls if stall["migration"] == row["migration"]]
        row["stall_predicted"] = max(mine, default=0.0)
    return max([*used, *([] if migrations else [_most(scale)])])


def whole(migrations: list[dict[str, Any]], seconds: float, largest: float) -> float:
    """What all of it would take in production, of which the clone took ``seconds``; call ``predict`` before."""
    if not migrations or any(row["predicted"] is None for row in migrations):
        return seconds * largest
    return seconds + max(0.0, float(sum(row["predicted"] - row["seconds"] for row in migrations)))


def _predict_migration(row: dict[str, Any], by_word: Mapping[str, float], scale: Mapping[str, float]) -> float:
    ratio = _ratio(row, by_word, scale) if row["watched"] else _most(scale)
    row["predicted"] = round(row["seconds"] * ratio, 4) if row["seconds"] is not None else None
    return ratio


def _ratio(row: Mapping[str, Any], by_word: Mapping[str, float], scale: Mapping[str, float]) -> float:
    factors_ = [_factor(statement, by_word, scale) for statement in row["statements"]]
    largest = max([1.0, *(factor_of(scale, lock["table"]) for lock in row["locks"]), *factors_])
    if row["seconds"] is None:  # it never ended, so how its time is divided is not known
        return largest
    times = [statement["seconds"] for statement in row["statements"]]
    scaled = sum(seconds * factor for seconds, factor in zip(times, factors_, strict=True))
    between = max(0.0, row["seconds"] - sum(times))
    spent = sum(times) + between
    return float((scaled + between * largest) / spent) if spent else largest


def _during(
    stall: Mapping[str, Any], row: Mapping[str, Any], by_word: Mapping[str, float], scale: Mapping[str, float]
) -> list[float]:
    """The factors of the statements of a migration that ran while somebody waited."""
    until = stall["began"] + stall["seconds"]
    return [
        _factor(statement, by_word, scale)
        for statement in row["statements"]
        if statement["began"] < until and (statement["ended"] is None or statement["ended"] > stall["began"])
    ]


def _factor(statement: Mapping[str, Any], by_word: Mapping[str, float], scale: Mapping[str, float]) -> float:
    words = {word.lower() for word in re.findall(r"\w+", statement["sql"])}
    named = [by_word[word] for word in words & by_word.keys()]
    locked = [factor_of(scale, lock.split(": ")[0]) for lock in statement["locks"]]
    return max([1.0, *named, *locked])
