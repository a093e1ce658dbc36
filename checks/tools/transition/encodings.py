"""Characters that the target's encoding has no place for; asked of the source, since copying them would break off."""

from collections.abc import Iterator
from typing import Final

from psycopg import sql

from checks.tools.postgres import Connection
from checks.tools.transition.preflight import MAX_KEYS, Conflict
from checks.tools.transition.work import Mapped, TableWork

_CODECS: Final = {
    "LATIN1": "latin-1", "LATIN2": "iso8859-2", "LATIN5": "iso8859-9", "LATIN7": "iso8859-13", "LATIN9": "iso8859-15",
    "WIN1250": "cp1250", "WIN1251": "cp1251", "WIN1252": "cp1252", "WIN1254": "cp1254", "KOI8R": "koi8-r",
    "KOI8U": "koi8-u", "ISO_8859_5": "iso8859-5", "ISO_8859_7": "iso8859-7", "EUC_JP": "euc-jp", "EUC_KR": "euc-kr",
}  # fmt: skip
_REMEDY = "Replace them by an expression (sql:), leave such rows out, or give the target the encoding UTF8."


def encodings(source: Connection, target: Connection, work: TableWork) -> list[Conflict]:
    """A conflict for each column with text that the target cannot hold."""
    return list(_found(source, target, work))


def _found(source: Connection, target: Connection, work: TableWork) -> Iterator[Conflict]:
    there, here = (one.info.parameter_status("server_encoding") or "UTF8" for one in (source, target))
    if there == here:
        return
    for one in work.columns.values():
        if one.staged.base not in ("text", "varchar", "bpchar", "json", "jsonb", "xml"):
            continue
        found = (
            _undecodable(source, work, one, here) if there == "SQL_ASCII" else _without_place(source, work, one, here)
        )
        if found is not None:
            yield found


def _without_place(source: Connection, work: TableWork, one: Mapped, here: str) -> Conflict | None:
    codec = _CODECS.get(here)
    if codec is None:
        return None
    text = sql.SQL("({})::text").format(one.staged.expression)
    query = sql.SQL(
        "SELECT DISTINCT c FROM {} x, LATERAL pg_catalog.regexp_split_to_table({}, '') c"
        " WHERE octet_length({}) > length({})"
    ).format(work.source.identifier, text, text, text)
    bad = "".join(sign for (sign,) in source.execute(query).fetchall() if not _encodes(sign, codec))
    if not bad:
        return None
    rows = sql.SQL("FROM {} x WHERE translate({}, {}, '') <> {}").format(
        work.source.identifier, text, sql.Literal(bad), text
    )
    return _conflict(source, work, one, rows, f"hold characters that {here} has no place for")


def _encodes(sign: str, codec: str) -> bool:
    try:
        sign.encode(codec)
    except UnicodeEncodeError:
        return False
    return True


def _undecodable(source: Connection, work: TableWork, one: Mapped, here: str) -> Conflict | None:
    """A source without an encoding holds bytes; each of them must be text in the target's encoding."""
    codec = _CODECS.get(here, "utf-8")
    key = work.key_text(one_key.expression for one_key in work.keys)
    query = sql.SQL("SELECT {}, convert_to(({})::text, 'SQL_ASCII') FROM {} x").format(
        key, one.staged.expression, work.source.identifier
    )
    keys: list[str] = []
    rows = 0
    with source.cursor(name="gonogo_bytes") as cursor:
        for found, content in cursor.execute(query):
            try:
                bytes(content or b"").decode(codec)
            except UnicodeDecodeError:
                rows += 1
                keys += [str(found)] if len(keys) < MAX_KEYS else []
    text = f"hold bytes that are no text in {here}"
    return Conflict(work.label, "encoding", one.column.name, rows, keys, text, _REMEDY) if rows else None


def _conflict(source: Connection, work: TableWork, one: Mapped, rows: sql.Composable, text: str) -> Conflict:
    key = work.key_text(one_key.expression for one_key in work.keys)
    counted = source.execute(sql.SQL("SELECT count(*) {}").format(rows)).fetchone()
    keys = source.execute(sql.SQL("SELECT {} {} LIMIT {}").format(key, rows, sql.Literal(MAX_KEYS))).fetchall()
    return Conflict(
        work.label, "encoding", one.column.name, counted[0] if counted else 0, [each for (each,) in keys], text, _REMEDY
    )
