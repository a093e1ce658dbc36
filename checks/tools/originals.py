"""The database that a rehearsal must leave as it is, looked at before and after a command of the plan."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.tools import rehearsal, schema
from checks.tools.background import patiently
from checks.tools.postgres import Address, connected

#: Objects of the schema, and the migrations that are applied.
Noted = tuple[Mapping[str, str], list[str]]


def note(context: RunContext, address: Address) -> Noted:
    with connected(address, what="the original database") as connection:
        objects = patiently(context, connection, lambda: schema.schema_objects(connection))
        return objects, [migration.name for migration in rehearsal.applied(connection)]


def refuse_touched(context: RunContext, address: Address, before: Noted, command: str) -> None:
    """CheckError when it is not as it was noted. ``command``: what the plan calls it."""
    if note(context, address) != before:
        raise CheckError(
            f"The schema of {address.database} itself changed during the rehearsal.",
            remedy=f"Either the {command} command ran on it instead of the clone, or somebody migrated it meanwhile."
            " Find out which before anything else.",
        )


@contextmanager
def untouched(context: RunContext, address: Address, before: Noted, commands: str) -> Iterator[None]:
    """CheckError when it is not as it was noted after the block, also where that ended in another one, which is less.

    ``commands``: what the plan calls those that run in the block; "" for none, which can touch nothing.
    """
    try:
        yield
    except CheckError:
        if commands:
            refuse_touched(context, address, before, commands)
        raise
    if commands:
        refuse_touched(context, address, before, commands)
