"""The faults that are planted, each with the check that has to say no and what it has to name."""

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from checks.tools.planting.materials import CutBackup, NotPlantable, refuse_without_advisories, with_bad_pin
from checks.tools.planting.proxy import Spoiling
from checks.tools.postgres import Address, Connection, connected, one
from checks.tools.reconciling.options import Options

#: Areas of parity that no fault here is about; they are left out, so that a look takes a second.
_ASIDE: Final = ("runtime", "process", "variable", "package", "integration", "rows", "tls")
_QUIET: Final[Mapping[str, Any]] = {
    "migrate": None, "facts": None, "packages": None, "lock": None, "integrations": {}, "expected": [],
    "leave_out": dict.fromkeys(_ASIDE, "Not what this fault is about."),
}  # fmt: skip
_PACKAGES_ONLY: Final[Mapping[str, Any]] = {
    "packages": {}, "fail_at": "high", "code": None, "secrets": None, "tls": None, "headers": None,
    "deploy_check": None, "web": None, "authentication": None, "sarif": None, "uploaded": "",
}  # fmt: skip
_NEWEST: Final[Mapping[str, Any]] = {"backup": "", "amcheck": False}
_HEADERS: Final = ("x-frame-options", "content-security-policy", "strict-transport-security", "x-content-type-options",
                   "referrer-policy", "cross-origin-opener-policy")  # fmt: skip
_COLUMN: LiteralString = """
    SELECT n.nspname, c.relname, a.attname FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND c.relpersistence = 'p'
      AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.conrelid = c.oid AND a.attnum = ANY(o.conkey)
                      AND o.contype <> 'n')
    ORDER BY pg_catalog.pg_relation_size(c.oid) DESC, 1, 2, a.attnum DESC LIMIT 1
"""
_TABLES: LiteralString = """
    SELECT n.nspname, c.relname FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
      AND pg_catalog.pg_relation_size(c.oid) > 0
      AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint o WHERE o.confrelid = c.oid)
    ORDER BY pg_catalog.pg_relation_size(c.oid), 1, 2
"""
#: Run after the plan's own migrate command: cuts one column of text short, as a careless migration does.
_LOSSY: Final = """
import os, psycopg
from psycopg import sql
with psycopg.connect(os.environ["GONOGO_PLANT_IN"], autocommit=True) as database:
    schema, table, column = os.environ["GONOGO_PLANT"].split("|")
    names = (sql.Identifier(schema, table), sql.Identifier(column), sql.Identifier(column))
    database.execute(sql.SQL("UPDATE {} SET {} = left({}, 1)").format(*names))
    print("Planted: every value of " + schema + "." + table + "." + column + " was cut to one letter.")
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


@dataclass
class Planted:
    """What the check is given, and what it has to name. ``told``: what was planted, in words.

    ``listed``: a list of packages in place of the build. ``removed``: takes away what lies elsewhere than in a copy.
    """

    told: str
    named: str
    params: dict[str, Any] = field(default_factory=dict)
    spoiling: Spoiling | None = None
    listed: str = ""
    removed: Callable[[], None] | None = None


@dataclass(frozen=True)
class Fault:
    """``plant``: (params of the plan's check, what it may change) -> Planted. ``copy``: it changes a copied database.

    ``clean``: what both looks are given besides, without the fault and with it. ``needed``: raises NotPlantable before
    the first look. ``at_home``: the check looks at the environment that the plan names for it, not at the rehearsal's.
    """

    key: str
    title: str
    kind: str
    plant: Callable[[Mapping[str, Any], "Ground"], Planted]
    copy: bool = False
    clean: Mapping[str, Any] = field(default_factory=dict)
    needed: Callable[[], None] | None = None
    at_home: bool = False


@dataclass(frozen=True)
class Ground:
    """Where a fault is planted: the copy (for those that need one), the address, the original, its variable.

    ``build`` with its name in the release; ``backups``: application, environment and run (hex) of a backup's copy.
    """

    copy: Address | None
    original: Address
    variable: str
    requests: list[Mapping[str, Any]]
    headers: frozenset[str]
    build: tuple[Path | None, str]
    backups: tuple[str, str, str]


@contextmanager
def _inside(ground: Ground) -> Iterator[Connection]:
    assert ground.copy is not None
    with connected(ground.copy, what="the copy") as connection:
        yield connection


def _setting(params: Mapping[str, Any], ground: Ground) -> Planted:
    assert ground.copy is not None
    with _inside(ground) as connection:
        now = one(connection, "SELECT current_setting('default_transaction_isolation')")
        value = "repeatable read" if now == "serializable" else "serializable"
        connection.execute(sql.SQL("ALTER DATABASE {} SET default_transaction_isolation = {}").format(
            sql.Identifier(ground.copy.database), sql.Literal(value)))  # fmt: skip
    name = "setting.default_transaction_isolation"
    return Planted(f"default_transaction_isolation is {value}", name, {"breaking": [name]})


def _column(params: Mapping[str, Any], ground: Ground) -> Planted:
    with _inside(ground) as connection:
        found = connection.execute(_COLUMN).fetchone()
        if found is None:
            raise NotPlantable("there is no table with a column that may go")
        namespace, table, column = found
        connection.execute(sql.SQL("ALTER TABLE {} DROP COLUMN {} CASCADE").format(
            sql.Identifier(namespace, table), sql.Identifier(column)))  # fmt: skip
        quoted = one(connection, "SELECT format('%%I.%%I.%%I', %s::text, %s::text, %s::text)", [*found])
    return Planted(f"the column {quoted} is gone", f"schema.column {quoted}")


def _header(params: Mapping[str, Any], ground: Ground) -> Planted:
    name = next((name for name in _HEADERS if name in ground.headers), "")
    if not name:
        raise NotPlantable("the first page sends no header of those that protect")
    page = (params.get("pages") or ["/"])[0]
    return Planted(f"the header {name} is missing", f"http.{page} {name}", {"breaking": ["http.*"]}, Spoiling(name))


def _slow(params: Mapping[str, Any], ground: Ground) -> Planted:
    request = ground.requests[0]
    seconds = float(str(request["within"]).removesuffix("s"))
    delay = min(seconds, 3.0) + 0.5
    quick = [{**request, "within": f"{min(seconds, 3.0):g}s"}]
    spoiling = Spoiling(slow={request["path"]: delay})
    return Planted(f"{request['path']} takes {delay:g} s longer", request["path"], {"requests": quick}, spoiling)


def _broken(params: Mapping[str, Any], ground: Ground) -> Planted:
    path = ground.requests[-1]["path"]
    return Planted(f"{path} answers 500", path, {}, Spoiling(broken=path))


def _row(params: Mapping[str, Any], ground: Ground) -> Planted:
    """Of a table that the check looks at: elsewhere nobody would miss it."""
    looked_at = Options(tables=params.get("tables") or (), leave_out=params.get("leave_out") or ())
    with _inside(ground) as connection:
        for namespace, table in connection.execute(_TABLES).fetchall():
            if not looked_at.selects(f"{namespace}.{table}"):
                continue
            name = sql.Identifier(namespace, table)
            statement = sql.SQL("DELETE FROM {} WHERE ctid = (SELECT min(ctid) FROM {})").format(name, name)
            try:
                if connection.execute(statement).rowcount == 1:
                    return Planted(f"one row of {namespace}.{table} is gone", f"{namespace}.{table}")
            except psycopg.Error:
                continue
    raise NotPlantable("none of the tables compared has a row that may go")


def _migration(params: Mapping[str, Any], ground: Ground) -> Planted:
    if not params.get("reverse") or not (params.get("compare_data", True) and params.get("refuse_irreversible", True)):
        raise NotPlantable("the plan's rehearsal does not go back and compare, which is what shows a loss")
    with connected(ground.original, what="the original database") as connection:
        found = connection.execute(_TEXT).fetchone()
    if found is None:
        raise NotPlantable("there is no filled column of text")
    command = dict(params["command"])
    own = shlex.join(command["argv"]) if command.get("argv") else command["script"]
    lossy = shlex.join([sys.executable, "-c", _LOSSY])
    script = f'{own}\nGONOGO_PLANT_IN="${ground.variable}" {lossy}\n'
    variables = {**command.get("variables", {}), "GONOGO_PLANT": "|".join(found)}
    planted = {"script": script, "variables": variables, "timeout": command.get("timeout", "600s")}
    told = f"the migration cuts {'.'.join(found)} to one letter"
    return Planted(told, f"{found[0]}.{found[1]}", {"command": planted})


def _pin(params: Mapping[str, Any], ground: Ground) -> Planted:
    listed, bad = with_bad_pin(*ground.build)
    return Planted(f"the copied list of packages pins {bad}", bad, listed=listed)


def _truncated(params: Mapping[str, Any], ground: Ground) -> Planted:
    copy = CutBackup(*ground.backups)
    return Planted(copy.told, copy.cut, {"backup": copy.key}, removed=copy.remove)


COPY_VARIABLE: Final = "GONOGO_COPY_URL"
FAULTS: Final[tuple[Fault, ...]] = (
    Fault("drifted-setting", "A setting of the database drifted", "parity", _setting, True, _QUIET),
    Fault("missing-column", "A column is missing", "parity", _column, True, _QUIET),
    Fault("missing-header", "A header that protects is missing", "parity", _header, False, _QUIET),
    Fault("slow-endpoint", "An endpoint is slow", "smoke", _slow),
    Fault("broken-page", "A page is broken", "smoke", _broken),
    Fault("lost-row", "A row was lost", "reconcile", _row, True, {"target_database": COPY_VARIABLE, "target": ""}),
    Fault("lossy-migration", "A migration loses data", "migration", _migration, at_home=True),
    Fault(
        "vulnerable-pin",
        "A package is known to be vulnerable",
        "audit",
        _pin,
        False,
        _PACKAGES_ONLY,
        refuse_without_advisories,
    ),
    Fault("truncated-backup", "A backup is cut short", "drill", _truncated, False, _NEWEST, at_home=True),
)


def refuse_unknown(keys: list[str]) -> list[str]:
    known = [fault.key for fault in FAULTS]
    strange = [key for key in keys if key not in known]
    if strange:
        raise ValueError(f"there is no fault {strange[0]!r}; there are: {', '.join(known)}")
    return keys
