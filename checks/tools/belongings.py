"""What no dump holds and a backup notes beside it: settings, limits and rights of the database and of its roles.

It is one field of the manifest, sealed: many may read a manifest, and people keep secrets in settings. Backups of
before have no such field.
"""

import json
import re
from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from checks.tools import database_settings, manifest, server_words
from checks.tools.crypto import KeyRing, SealError, seal, unseal
from checks.tools.postgres import Connection

FIELD: Final = "belongings"
#: What the worker's new cluster has none of: everything stands in its one tablespace.
_NOT_COMPARED: Final = frozenset({"tablespace"})
#: (role, "" for all; name of the setting) -> value, of roles in every database.
_ROLE_SETTINGS: LiteralString = (
    "SELECT COALESCE(r.rolname, ''), split_part(c.line, '=', 1), substr(c.line, strpos(c.line, '=') + 1)"
    " FROM pg_catalog.pg_db_role_setting s LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole,"
    " unnest(s.setconfig) WITH ORDINALITY c(line, place)"
    " WHERE s.setdatabase = 0 AND (s.setrole = 0 OR r.rolname = ANY(%s)) ORDER BY s.setrole, c.place"
)
_LIMITS: LiteralString = "SELECT rolname, rolconnlimit FROM pg_catalog.pg_roles WHERE rolname = ANY(%s) ORDER BY 1"


@dataclass(frozen=True)
class Belongings:
    """``database``: as ``database_settings`` reads it. ``settings``: (role, name) -> value. ``limits``: by role."""

    database: database_settings.Facts
    settings: Mapping[tuple[str, str], str]
    limits: Mapping[str, int]

    @property
    def roles(self) -> set[str]:
        """Roles that something is given to, without those that every server has."""
        named = {role for role, _ in (*self.database["rights"], *self.database["settings"])} | {self.database["owner"]}
        return {role for role in named if role and not role.startswith("pg_")}


def read(connection: Connection, database: str, roles: list[str]) -> Belongings:
    """What ``database`` has, and these roles, and whoever may do something with it."""
    facts = database_settings.read(connection, database)
    every = sorted({*roles, *Belongings(facts, {}, {}).roles})
    rows = connection.execute(_ROLE_SETTINGS, [every]).fetchall()
    limits: dict[str, int] = dict(connection.execute(_LIMITS, [every]).fetchall())
    return Belongings(facts, {(role, name): value for role, name, value in rows}, limits)


def sealed(found: Belongings, backup_id: str, ring: KeyRing) -> str:
    """As the manifest holds it."""
    areas = {area: _rows(value) if isinstance(value, dict) else value for area, value in found.database.items()}
    text = json.dumps({"database": areas, "settings": _rows(found.settings), "limits": dict(found.limits)})
    label = manifest.part_label(backup_id, FIELD)
    return b64encode(b"".join(seal([text.encode()], ring=ring, label=label))).decode()


def of(document: Mapping[str, Any], ring: KeyRing) -> Belongings | None:
    """What a manifest holds; None for a backup of before. UnusableBackupError where it does not open."""
    if FIELD not in document:
        return None
    label = manifest.part_label(document["id"], FIELD)
    try:
        pieces = list(unseal(BytesIO(b64decode(document[FIELD])), ring=ring, label=label))
    except (SealError, ValueError) as error:
        raise manifest.UnusableBackupError(f"The settings that the manifest holds do not open: {error}.") from None
    held = json.loads(b"".join(pieces))
    areas = {area: _mapped(value) if isinstance(value, list) else value for area, value in held["database"].items()}
    return Belongings(areas, _mapped(held["settings"]), held["limits"])


def _rows(mapping: Mapping[tuple[str, str], Any]) -> list[list[Any]]:
    return [[*key, value] for key, value in mapping.items()]


def _mapped(rows: list[list[Any]]) -> dict[tuple[str, str], Any]:
    return {(first, second): value for first, second, value in rows}


def give(connection: Connection, database: str, wanted: Belongings) -> tuple[list[str], list[str]]:
    """Give ``database`` and its roles what they had. Returns what could not be given, with the server's word, and what
    differs afterwards besides; no value is told.
    """
    refused = []
    found = read(connection, database, list(wanted.limits))
    for what, statement in (
        *database_settings.statements(database, wanted.database, found.database),
        *_of_roles(wanted, found),
    ):
        try:
            connection.execute(statement)
        except psycopg.Error as error:
            refused.append((what, server_words.of(error)))
    after = read(connection, database, list(wanted.limits))
    told = [f"{what}: {why}" for what, why in refused]
    if wanted.database["tablespace"] != after.database["tablespace"]:
        told.append(f"its tablespace {wanted.database['tablespace']}: the new cluster has none of its own")
    excused = {label for what, _ in refused for label in _differs_by(what)}
    # What was refused differs, and is no fault of the backup; whatever else differs is.
    return told, [one for one in _differences(wanted, after) if one not in excused and one.split(":")[0] not in excused]


def _differs_by(what: str) -> list[str]:
    """As what ``_differences`` tells a thing that was refused: by its own words, or by those of its whole area."""
    if found := re.fullmatch(r"its setting (\S+)(?: for the role (.+))?", what):
        return [f"settings: {' '.join(part for part in (found[2], found[1]) if part)}"]
    if found := re.fullmatch(r"the setting (\S+) of (?:the role )?(.+)", what):
        return [f"setting {found[1]} of {found[2]}"]
    if found := re.fullmatch(r"the connection limit of the role (.+)", what):
        return [f"connection limit of {found[1]}"]
    if found := re.fullmatch(r"its security label of (.+)", what):
        return [f"security labels: {found[1]}"]
    area = what.removeprefix("its ")
    # Another owner has other rights by himself.
    return [area, "rights"] if area == "owner" else [area]


def _of_roles(wanted: Belongings, found: Belongings) -> list[tuple[str, sql.Composed]]:
    given = []
    for (role, name), value in wanted.settings.items():
        whose = sql.SQL("ROLE {}").format(sql.Identifier(role)) if role else sql.SQL("ROLE ALL").format()
        told = f"the setting {name} of {f'the role {role}' if role else 'all roles'}"
        given.append((told, database_settings.setting(whose, name, value)))
    for role, limit in wanted.limits.items():
        if found.limits.get(role) != limit:
            statement = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(sql.Identifier(role), sql.Literal(limit))
            given.append((f"the connection limit of the role {role}", statement))
    return given


def _differences(wanted: Belongings, after: Belongings) -> list[str]:
    areas = {area: value for area, value in wanted.database.items() if area not in _NOT_COMPARED}
    told = database_settings.differences(areas, after.database)
    told += [f"setting {name} of {role or 'all roles'}" for (role, name), value in wanted.settings.items()
             if after.settings.get((role, name)) != value]  # fmt: skip
    told += [f"connection limit of {role}" for role, limit in wanted.limits.items() if after.limits.get(role) != limit]
    return told
