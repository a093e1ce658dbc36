"""SQL expressions that a plan may name: one value computed from the columns of one row, and nothing else.

A plan is published by a release manager, who may run commands anyway; the rules here keep a slip from becoming a
statement, and an answer from depending on anything but the row. Three things hold together: the text is one closed
expression without a query (checked when the plan is read), it calls only functions that the server declares immutable
or stable and that give one value for one row (checked before it is used), and it runs in a read-only transaction.
"""

import re
from typing import LiteralString

from checks.errors import CheckError
from checks.tools.postgres import Connection

_TOKEN = re.compile(
    r"""(?P<string>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")+")|(?P<word>[^\W\d][\w$]*)|(?P<number>\d[\w.]*)
    |(?P<space>\s+)|(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
#: They tell the time at which the statement, or the transaction, that asks began.
_CLOCKS = frozenset({
    "now", "transaction_timestamp", "current_timestamp", "current_date", "current_time", "localtime", "localtimestamp",
    "age",
})  # fmt: skip
_CLOCK_WORDS = frozenset({"'now'", "'today'", "'tomorrow'", "'yesterday'"})
_OF_THE_STATEMENT = "statement_timestamp"
_QUERIES = frozenset({"select", "table", "values", "into"})
_OPEN, _CLOSE = "([", ")]"
_VOLATILE: LiteralString = """
    SELECT p.proname, p.prokind, p.proretset FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE p.proname = %s AND n.nspname = %s AND (p.provolatile = 'v' OR p.prokind <> 'f' OR p.proretset) LIMIT 1
"""


def check_expression(text: str) -> str:
    """Return the text when it is one closed expression; ValueError says what it must not hold."""
    if not text.strip():
        raise ValueError("an expression is needed")
    depth: list[str] = []
    previous = ""
    for kind, part in _tokens(text):
        if kind == "other":
            _refuse_mark(part, previous, depth)
        if kind == "word" and part.lower() in _QUERIES:
            raise ValueError(f"an expression holds no query: {part.upper()} is not allowed")
        if kind == "string" and previous.lower() in {"e", "u&", "&"}:
            raise ValueError("strings are written plainly: 'it''s', without a letter before the quote")
        previous = part
    if depth:
        raise ValueError(f"the bracket {depth[-1]} is not closed")
    return text


def _refuse_mark(mark: str, previous: str, depth: list[str]) -> None:
    if mark in ";$'\"\\":
        raise ValueError(f"{mark} is not allowed in an expression")
    if (previous, mark) in (("-", "-"), ("/", "*")):
        raise ValueError("an expression holds no comment")
    if mark in _OPEN:
        depth.append(mark)
    elif mark in _CLOSE and (not depth or _OPEN.index(depth.pop()) != _CLOSE.index(mark)):
        raise ValueError(f"the bracket {mark} closes nothing")


def _tokens(text: str) -> list[tuple[str, str]]:
    return [(str(match.lastgroup), match.group()) for match in _TOKEN.finditer(text)]


def called(text: str) -> set[tuple[str, str]]:
    """(schema, name) of everything in the text that is written like a call; "pg_catalog" where no schema is named."""
    parts = [(kind, part) for kind, part in _tokens(text) if kind != "space"]
    found = set()
    for place, (kind, part) in enumerate(parts[:-1]):
        if kind not in ("word", "quoted") or parts[place + 1][1] != "(":
            continue
        qualified = place >= 2 and parts[place - 1][1] == "." and parts[place - 2][0] in ("word", "quoted")
        found.add((_name(*parts[place - 2]) if qualified else "pg_catalog", _name(kind, part)))
    return found


def names_in(text: str) -> set[str]:
    """Every name in the text, of columns and of functions."""
    return {_name(kind, part) for kind, part in _tokens(text) if kind in ("word", "quoted")}


def _name(kind: str, part: str) -> str:
    return part[1:-1].replace('""', '"') if kind == "quoted" else part.lower()


def tells_the_time(text: str) -> bool:
    """Whether the value may be another one in a later transaction, though the row is the same."""
    return bool(names_in(text) & _CLOCKS) or any(part.lower() in _CLOCK_WORDS for _, part in _tokens(text))


def refuse_unsteady(connection: Connection, text: str) -> None:
    """CheckError when the expression calls something that writes, waits, reads elsewhere, or gives several rows."""
    if (found := unsteady(connection, text)) is None:
        return
    name, why = found
    if name == _OF_THE_STATEMENT:
        raise CheckError(
            f"The expression {text!r} calls {name}, which {why}.",
            remedy="Use now(), which stays the same while the rows are moved. Nothing was read or written.",
        )
    raise CheckError(
        f"The expression {text!r} calls {name}, which {why}.",
        remedy="Use functions that depend on their arguments only. Nothing was read or written.",
    )


def unsteady(connection: Connection, text: str) -> tuple[str, str] | None:
    """The first function in it that does not give one value for one row, whenever it is asked, and what it does."""
    for schema, name in sorted(called(text)):
        if name == _OF_THE_STATEMENT:
            return name, "gives another value each time the source is asked"
        row = connection.execute(_VOLATILE, [name, schema]).fetchone()
        if row is not None:
            kinds = {"a": "is an aggregate", "w": "is a window function"}
            return name, "gives several rows" if row[2] else kinds.get(row[1], "the server declares volatile")
    return None
