"""Where the variables of a rehearsed command lead: to the clone, to what the plan allows, or nowhere else."""

import re
from collections.abc import Collection, Iterable, Mapping
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from checks.errors import CheckError
from checks.tools.postgres import Address

#: What libraries put in front of a PostgreSQL address: dj-database-url, SQLAlchemy, Celery, libpq.
_SCHEME = re.compile(r"(?:[a-z]+\+)?(?:postgres(?:ql)?|postgis|psql|pgsql|timescale(?:gis)?)(?:\+\w+)?://", re.I)
_WORDS = re.compile(r"(?:^|\s)dbname\s*=", re.I)
_LOCAL = {"localhost", "127.0.0.1", "::1"}

#: Host and database; a pooler of the same server has another port.
Place = tuple[str, str]
_UNREADABLE: Place = ("", "")


def to_clone(
    variables: Mapping[str, str], ours: Iterable[Address], clone: Address, allowed: Collection[str]
) -> dict[str, str]:
    """The variables, each that leads to one of ``ours`` leading to the clone, however it is written.

    CheckError when another one leads to a PostgreSQL database and the plan does not allow it by name.
    """
    places = {_place(address.parts) for address in ours} | {_place(clone.parts)}
    led = {}
    for name, value in variables.items():
        place = _of_value(value)
        if place is not None and place not in places and name not in allowed:
            where = f", {place[1]} at {place[0]}," if place != _UNREADABLE else ""
            raise CheckError(
                f"The variable {name} leads to another PostgreSQL database{where} which the plan's command could"
                " really migrate. Nothing was rehearsed.",
                remedy="Give it another value in the command's variables; or, where a rehearsal may reach that"
                f" database, name it in the plan: may_reach: [{name}].",
            )
        led[name] = _written_as(value, clone) if place in places else value
    return led


def _of_value(value: str) -> Place | None:
    """Where a value leads; None where it is no address of PostgreSQL."""
    value = value.strip()
    scheme = _SCHEME.match(value)
    if scheme is not None:
        return _of_url("postgresql://" + value[scheme.end() :])
    if _SCHEME.search(value):  # among other things
        return _UNREADABLE
    if _WORDS.search(value):
        try:
            return _place({key: str(word) for key, word in conninfo_to_dict(value).items() if word is not None})
        except psycopg.ProgrammingError:
            return _UNREADABLE
    return None


def _of_url(url: str) -> Place:
    try:
        return _place({key: str(word) for key, word in conninfo_to_dict(url).items() if word is not None})
    except psycopg.ProgrammingError:  # options that are another library's
        try:
            parts = urlsplit(url)
            found = {"host": parts.hostname or "", "dbname": unquote(parts.path[1:]), "user": parts.username or ""}
            return _place(found)
        except ValueError:
            return _UNREADABLE


def _place(parts: Mapping[str, str]) -> Place:
    host = (parts.get("host") or parts.get("hostaddr") or "").lower()
    local = not host or host.startswith("/") or host in _LOCAL
    return "localhost" if local else host, parts.get("dbname") or parts.get("user", "")


def _written_as(value: str, clone: Address) -> str:
    """The clone's address as the value wrote its own."""
    scheme = _SCHEME.match(value.strip())
    if scheme is None:
        return " ".join(f"{key}={_quoted(word)}" for key, word in clone.parts.items())
    return scheme.group() + clone.url().partition("://")[2]


def _quoted(word: str) -> str:
    return "'" + word.replace("\\", "\\\\").replace("'", "\\'") + "'"
