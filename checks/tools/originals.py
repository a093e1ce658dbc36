"""The database that a rehearsal must leave as it is, looked at before and after a command of the plan."""

from collections.abc import Mapping

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
