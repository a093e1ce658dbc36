"""A copy of a database to rehearse on: file by file where nobody is connected, else dumped and restored."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import psycopg

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.tools import dumping, facts, scratch
from checks.tools.background import patiently
from checks.tools.postgres import Address, connected, drop_database, maintenance, one

Method = Literal["auto", "template", "dump"]


@dataclass(frozen=True)
class Clone:
    """``method``: 'template' or 'dump'. ``why``: why not the faster one; "" where it was taken."""

    address: Address
    method: str
    why: str
    seconds: float


@contextmanager
def clone(
    context: RunContext, source: Address, *, server: Address, method: Method, lock_timeout: timedelta
) -> Iterator[Clone]:
    """A copy of ``source`` on the server of ``server``, dropped at the end, however the end comes."""
    name = scratch.name_of(context, "clone")
    orders = maintenance(server)
    _tell_size(context, source)
    with connected(orders, what="the server") as connection:
        scratch.sweep(context, connection)
        drop_database(connection, name)
    began = time.monotonic()
    try:
        why = _copy(context, source, server, orders, name, method, lock_timeout)
        taken = "template" if not why else "dump"
        context.note(f"Cloned {source.database} as {name} ({taken}{': ' + why if why else ''})")
        yield Clone(server.named(name), taken, why, round(time.monotonic() - began, 3))
    finally:
        scratch.drop_at_the_end(context, orders, name)


def _copy(
    context: RunContext,
    source: Address,
    server: Address,
    orders: Address,
    name: str,
    method: Method,
    lock_timeout: timedelta,
) -> str:
    """Copy in the first way that is possible; returns why it was not the template, or ""."""
    why = _why_no_template(source, server, method)
    if not why:
        if scratch.copy_by_template(context, orders, source.database, name):
            return ""
        why = "somebody is connected to it, or the role may not copy it as a template"
        if method == "template":
            raise CheckError(
                f"The database {source.database} cannot be copied as a template: {why}.",
                remedy="Stop the application, or let the check clone by dump.",
            )
    _copy_by_dump(context, source, server, orders, name, lock_timeout)
    return why


def _why_no_template(source: Address, server: Address, method: Method) -> str:
    if method == "dump":
        return "the plan asks for a dump"
    if _same_server(source, server):
        return ""
    if method == "template":
        raise CheckError(
            f"{source.database} stands at {source.server} and the clone is wanted at {server.server}:"
            " a template cannot be copied between servers.",
            remedy="Clone by dump, or on the same server.",
        )
    return "the clone stands on another server"


def _same_server(one_address: Address, other: Address) -> bool:
    with connected(one_address) as first, connected(other) as second:
        query = "SELECT system_identifier::text || current_setting('port') FROM pg_catalog.pg_control_system()"
        try:
            return bool(one(first, query) == one(second, query))
        except psycopg.Error:
            # The function may be closed to this role; then the addresses decide.
            return one_address.server == other.server


def _copy_by_dump(
    context: RunContext, source: Address, server: Address, orders: Address, name: str, lock_timeout: timedelta
) -> None:
    with connected(source, what="the database to clone") as connection:
        shape = facts.database_facts(connection)["database"]
    with connected(orders, what="the server of the clone") as connection:
        patiently(context, connection, lambda: scratch.create_empty(connection, name, shape))
    # Another role owns everything on another server, where those of production may not exist.
    strange = ["--no-owner", "--no-acl"] if source.role != server.role or source.server != server.server else []
    pieces = dumping.dump(context, source, lock_timeout=lock_timeout)
    try:
        dumping.load(context, server.named(name), pieces, arguments=["--single-transaction", *strange])
    finally:
        pieces.close()
    with connected(server.named(name), what="the clone") as connection:
        patiently(context, connection, lambda: connection.execute("ANALYZE"))


def _tell_size(context: RunContext, source: Address) -> None:
    """A clone needs as much space again. The server says how much the database takes; its disk it does not tell."""
    with connected(source, what="the database to clone") as connection:
        size = int(one(connection, "SELECT pg_database_size(current_database())"))
    context.note(f"{source.database} at {source.server} takes {size / 1e6:,.1f} MB; the clone takes as much again.")
