"""What PostgreSQL says of an error, without the values that it quotes.

Its details quote whole rows (``Key (email)=(ann@example.org)``, ``Failing row contains (...)``), and the messages of
some errors quote single values. What a run says of itself stays in the ledger for ever, so they stay out of it; the
names of tables, columns and constraints come along.
"""

import re
from collections.abc import Iterator

import psycopg

#: Errors of data and of syntax: what their messages quote is a value, or a statement that may hold one.
_QUOTING = ("22", "42601", "42804")
#: Of these the details are about sessions, files and dependent objects, never about rows.
_HARMLESS_DETAILS = ("2B", "53", "55", "57", "58")
#: A message of plpgsql's RAISE was written by the application and may be made of any value.
RAISED_IN = "exec_stmt_raise"
_OWN_WORDS = "the application's own code in the database raised an error, whose words may hold values and are left out"

_SIDE = r"(?:DETAIL|HINT|CONTEXT|QUERY|STATEMENT|WHERE|LOCATION|LINE \d+|Command was)"
_BEGINS_SIDE = re.compile(rf"(?:[\w.]+: )?{_SIDE}: ")
_BEGINS_NEW = re.compile(
    r"(?:[\w./-]+: (?:\w+: )*)?(?:ERROR|FATAL|PANIC|WARNING|NOTICE|error|fatal|warning|detail|hint):\s"
    r"|[\w.]+(?:Error|Exception|Violation|Failure)\b|Traceback "
)
#: A quoted word after one of these is a name; any other may be a value.
_NAMED = (
    r"(?:relation|table|column|constraint|index|sequence|view|function|procedure|trigger|type|schema|database|role"
    r"|extension|language|file|directory|parameter|tablespace|policy|rule|partition|model|field|migration|module"
    r"|attribute|collation|domain|named|label|library|program|command)"
)
_QUOTED = re.compile(rf"({_NAMED} )?(\"[^\"]*\"|(?<!\w)'[^']*'(?!\w)|“[^”]*”)")
_MAIL = re.compile(r"[^\s@\"'<>()=,;:]+@[^\s@\"'<>()=,;:]+\.\w+")
_LITERAL = re.compile(r"\$(\w*)\$.*?(?:\$\1\$|\Z)|[eE]?'(?:[^']|'')*(?:'|\Z)", re.DOTALL)


def of(error: psycopg.Error) -> str:
    """The server's message; for an error that is not an answer of the server, its text as ``of_text`` leaves it."""
    about = error.diag
    if about.message_primary is None:
        # Nobody has answered yet: the text names the server and the role, and there was no row.
        return str(error) if isinstance(error, psycopg.OperationalError) else of_text(str(error))
    said = answer(
        error.sqlstate or "",
        about.message_primary,
        raised=about.source_function == RAISED_IN,
        table=f"{about.schema_name}.{about.table_name}" if about.table_name else "",
    )
    if about.message_detail and (error.sqlstate or "").startswith(_HARMLESS_DETAILS):
        said += f" ({about.message_detail})"
    return said


def answer(sqlstate: str, message: str, *, raised: bool, table: str) -> str:
    """The message of an answer without values. ``table``: 'schema.table' that the server names, or ""."""
    if raised:
        said = f"{_OWN_WORDS} (SQLSTATE {sqlstate})"
    elif sqlstate.startswith(_QUOTING):
        # To the last quote: a value may hold quotes itself.
        said = re.sub(r'".*"', '"…"', message, flags=re.DOTALL)
    else:
        said = message
    return f"{said} (table {table})" if table and table.rpartition(".")[2] not in said else said


def of_exception(error: BaseException) -> str:
    """The text of any exception; where an answer of the server is behind it, that one's message instead."""
    for each in _chain(error):
        if isinstance(each, psycopg.Error):
            return of(each)
    return str(error)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An exception and what it was raised from; Django's own errors of a database carry the driver's so."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def of_text(text: str) -> str:
    """Words of a program that may quote the server: no details, no addresses, and what is quoted only where a name."""
    kept: list[str] = []
    beside = False
    for line in text.splitlines():
        beside = _BEGINS_SIDE.match(line.strip()) is not None or (beside and not _BEGINS_NEW.match(line.strip()))
        if not beside:
            kept.append(re.split(rf"\s{_SIDE}: ", line, maxsplit=1)[0])
    said = _QUOTED.sub(_kept_where_named, "\n".join(kept))
    return _MAIL.sub("…", said)


def _kept_where_named(found: re.Match[str]) -> str:
    if found[1]:
        return found[0]
    return f"{found[2][0]}…{found[2][-1]}"


def of_statement(statement: str) -> str:
    """A statement without its literals: those of a data migration may be rows."""
    return _LITERAL.sub("'…'", statement)
