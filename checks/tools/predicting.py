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
    """'schema.table' -> how many times larger it is in production; never below 1."""
    found = {}
    for relation in clone.relations.values():
        there = production.tables.get(relation.label)
        if not relation.is_table or there is None or relation.size <= 0:
            continue
        by_size = there[0] / max(relation.size, LEAST_BYTES)
        here = clone.rows(relation.label)
        by_rows = there[1] / here if here >= 100 else 0.0
        found[relation.label] = max(1.0, by_size, by_rows if there[0] >= LEAST_BYTES else 0.0)
    return found


def predict(migrations: list[dict[str, Any]], stalls: list[dict[str, Any]], scale: Mapping[str, float]) -> float:
    """Add ``predicted`` (seconds) to each migration and stall; returns the largest factor that was used.

    The time of a statement grows in proportion to the largest table that it names or locks; what a migration does
    between its statements grows with the largest of all of them. A stall grows as its migration does.
    """
    by_word: dict[str, float] = {}
    for label, factor in scale.items():
        word = label.rpartition(".")[2].lower()
        by_word[word] = max(by_word.get(word, 1.0), factor)
    ratios: dict[str, float] = {}
    for row in migrations:
        ratios[row["migration"]] = _predict_migration(row, by_word, scale)
    for stall in stalls:
        ratio = ratios.get(stall["migration"]) or scale.get(stall["table"], 1.0)
        stall["predicted"] = round(stall["seconds"] * ratio, 4)
    for row in migrations:
        mine = [stall["predicted"] for stall in stalls if stall["migration"] == row["migration"]]
        row["stall_predicted"] = max(mine, default=0.0)
    return max([1.0, *ratios.values(), *(scale.get(stall["table"], 1.0) for stall in stalls)])


def _predict_migration(row: dict[str, Any], by_word: Mapping[str, float], scale: Mapping[str, float]) -> float:
    if row["seconds"] is None:
        row["predicted"] = None
        return 1.0
    largest, scaled, counted = 1.0, 0.0, 0.0
    for lock in row["locks"]:
        largest = max(largest, scale.get(lock["table"], 1.0))
    for statement in row["statements"]:
        factor = _factor(statement, by_word, scale)
        largest = max(largest, factor)
        scaled += statement["seconds"] * factor
        counted += statement["seconds"]
    between = max(0.0, row["seconds"] - counted)
    scaled += between * largest
    ratio = scaled / (counted + between) if counted + between else largest
    row["predicted"] = round(row["seconds"] * ratio, 4)
    return float(ratio)


def _factor(statement: Mapping[str, Any], by_word: Mapping[str, float], scale: Mapping[str, float]) -> float:
    words = {word.lower() for word in re.findall(r"\w+", statement["sql"])}
    named = [by_word[word] for word in words & by_word.keys()]
    locked = [scale.get(lock.split(": ")[0], 1.0) for lock in statement["locks"]]
    return max([1.0, *named, *locked])
