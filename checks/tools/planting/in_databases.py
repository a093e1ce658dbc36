"""Faults of data: what is planted in a copied database, or in the clone that the plan's own check makes."""

import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from checks.tools.planting.fault import Ground, Planted
from checks.tools.planting.materials import NotPlantable
from checks.tools.postgres import Connection, connected
from checks.tools.reconciling.options import Options

_TABLES: LiteralString = """
    SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND pg_catalog.pg_relation_size(c.oid) > 0
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.confrelid = c.oid)
    ORDER BY pg_catalog.pg_relation_size(c.oid), 1, 2
"""
_PERSONAL: Final = "gonogo_planted_email"
#: Run after a command of the plan that has prepared a clone: carries out one statement there.
_CARRY_OUT: Final = """
import os, psycopg
with psycopg.connect(os.environ["GONOGO_PLANT_IN"], autocommit=True) as database:
    database.execute(os.environ["GONOGO_PLANT"])
print("Planted in the clone.")
"""
_TEXT: LiteralString = """
    SELECT n.nspname, c.relname, a.attname FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND a.atttypid IN ('text'::regtype,
      'varchar'::regtype) AND c.reltuples > 0 AND n.nspname = 'public' AND c.relname !~ '^django_'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_index i WHERE i.indrelid = c.oid AND i.indisunique
                      AND a.attnum = ANY(i.indkey))
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.conrelid = c.oid AND a.attnum = ANY(o.conkey)
                      AND o.contype IN ('c', 'f', 'p', 'u', 'x'))
    ORDER BY c.reltuples DESC, 1, 2, 3 LIMIT 1
"""


@contextmanager
def inside(ground: Ground) -> Iterator[Connection]:
    """Connected to the copy."""
    assert ground.copy is not None
    with connected(ground.copy, what="the copy") as connection:
        yield connection


def lost_row(params: Mapping[str, Any], ground: Ground) -> Planted:
    """Of a table that the check looks at: elsewhere nobody would miss it."""
    looked_at = Options(tables=params.get("tables") or (), leave_out=params.get("leave_out") or ())
    with inside(ground) as connection:
        for namespace, table in connection.execute(_TABLES).fetchall():
            if not looked_at.selects(f"{namespace}.{table}"):
                continue
            name = sql.Identifier(namespace, table)
            statement = sql.SQL("DELETE FROM {} WHERE ctid = (SELECT min(ctid) FROM {})").format(name, name)
            try:
                if connection.execute(statement).rowcount == 1:
                    label = f"{namespace}.{table}"
                    return Planted(f"one row of {label} is gone", label, sign=": 1 missing")
            except psycopg.Error:
                continue
    raise NotPlantable("none of the tables compared has a row that may go")


def unclassified_column(params: Mapping[str, Any], ground: Ground) -> Planted:
    with inside(ground) as connection:
        found = connection.execute(_TABLES).fetchone()
        if found is None:
            raise NotPlantable("there is no table with rows to which a column could be added")
        connection.execute(sql.SQL("ALTER TABLE {} ADD COLUMN {} text DEFAULT {}").format(
            sql.Identifier(*found), sql.Identifier(_PERSONAL), sql.Literal("ada@planted.invalid")))  # fmt: skip
    label = ".".join([*(found if found[0] != "public" else found[1:]), _PERSONAL])
    return Planted(f"{label} holds addresses of mail, and the inventory does not name it", label)


def lossy_migration(params: Mapping[str, Any], ground: Ground) -> Planted:
    if not params.get("reverse") or not (params.get("compare_data", True) and params.get("refuse_irreversible", True)):
        raise NotPlantable("the plan's rehearsal does not go back and compare, which is what shows a loss")
    with connected(ground.original, what="the original database") as connection:
        found = connection.execute(_TEXT).fetchone()
    if found is None:
        raise NotPlantable("there is no filled column of text")
    namespace, table, column = found
    name = sql.Identifier(column)
    statement = sql.SQL("UPDATE {} SET {} = left({}, 1)").format(sql.Identifier(namespace, table), name, name)
    planted = followed(params["command"], ground, statement)
    told = f"the migration cuts {'.'.join(found)} to one letter"
    return Planted(told, f"{found[0]}.{found[1]}", {"command": planted})


def followed(command: Mapping[str, Any] | None, ground: Ground, statement: sql.Composed) -> dict[str, Any]:
    """The plan's command (or none), which carries out one statement more in the clone that it has prepared."""
    command = dict(command or {"script": ":"})
    own = shlex.join(command["argv"]) if command.get("argv") else command["script"]
    added = shlex.join([sys.executable, "-c", _CARRY_OUT])
    return {
        "script": f'{own}\nGONOGO_PLANT_IN="${ground.variable}" {added}\n',
        "variables": {**command.get("variables", {}), "GONOGO_PLANT": statement.as_string()},
        "timeout": command.get("timeout", "600s"),
    }
