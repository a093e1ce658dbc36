"""The texts inside of bytes as SQL: every stretch of a bytea that is text in UTF-8, whatever stands around it.

Read as Latin-1, each byte is one character, and a pattern takes the longest stretches of ASCII and of whole UTF-8
characters out of that; what it takes, and nothing else, is read as UTF-8. A zero byte and a backslash part words.
"""

from typing import Final

from psycopg import sql

from checks.tools.column_facts import Column

#: Of one value so many bytes are looked into, from its beginning: a picture costs a tenth of a second, and no more.
MOST_BYTES: Final = 256 * 1024
#: Shorter stretches come about by chance, and are no value that is looked for.
SHORTEST: Final = 4

_NEXT: Final = r"[\u0080-\u00bf]"
#: Characters of two to four bytes by the table of well-formed UTF-8 (Unicode, table 3-7), each byte as in Latin-1.
_TWO: Final = rf"[\u00c2-\u00df]{_NEXT}"
_THREE: Final = (
    rf"(?:\u00e0[\u00a0-\u00bf]|[\u00e1-\u00ec\u00ee\u00ef]{_NEXT}|\u00ed[\u0080-\u009f]){_NEXT}"  # no surrogates
)
_FOUR: Final = rf"(?:\u00f0[\u0090-\u00bf]|[\u00f1-\u00f3]{_NEXT}|\u00f4[\u0080-\u008f]){_NEXT}{_NEXT}"
_TEXT: Final = rf"(?:[\u0001-\u007f]|{_TWO}|{_THREE}|{_FOUR}){{{SHORTEST},}}"
#: As the server prints a byte that is no ASCII.
_ESCAPES: Final = r"(?:\\[0-7]{3})+"


def values(column: Column) -> sql.Composed:
    """Each stretch of text as ``value``, and whether it is the ``whole`` of what the column holds in that row.

    A database of another encoding than UTF-8 may not know every character; there it is ASCII that is taken.
    """
    return sql.SQL(
        "SELECT part.value, octet_length(part.value) = octet_length(b.held) AS whole FROM {held} AS b(held)"
        " CROSS JOIN LATERAL (SELECT replace(replace(encode(substr(b.held, 1, {most}), 'escape'), {backslash}, ' '),"
        " {zero}, ' ') AS printed OFFSET 0) AS p"
        " CROSS JOIN LATERAL unnest(CASE WHEN pg_catalog.getdatabaseencoding() = 'UTF8' THEN ARRAY("
        "SELECT convert_from(convert_to(run.parts[1], 'LATIN1'), 'UTF8')"
        " FROM regexp_matches(convert_from(decode(p.printed, 'escape'), 'LATIN1'), {text}, 'g') AS run(parts))"
        " ELSE regexp_split_to_array(p.printed, {escapes}) END) AS part(value)"
    ).format(
        held=_held(column), most=sql.Literal(MOST_BYTES), backslash=sql.Literal("\\\\"), zero=sql.Literal("\\000"),
        text=sql.Literal(_TEXT), escapes=sql.Literal(_ESCAPES),
    )  # fmt: skip


def longer(column: Column) -> sql.Composed:
    """How many values are not looked into to their end."""
    return sql.SQL("SELECT count(*) FROM {} AS b(held) WHERE octet_length(b.held) > {}").format(
        _held(column), sql.Literal(MOST_BYTES)
    )


def _held(column: Column) -> sql.Composed:
    """The bytes, one value a row; of a list, one for each element."""
    name: sql.Composable = sql.SQL("t.{}").format(column.identifier)
    if column.type.startswith("_"):
        name = sql.SQL("unnest({})").format(name)
    return sql.SQL("(SELECT {} FROM {} AS t)").format(name, column.table_identifier)
