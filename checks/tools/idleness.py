"""Whether anything was rehearsed at all: a command may do nothing, only say that it did, or do it elsewhere."""

from checks.errors import CheckError
from checks.tools.postgres import Address
from checks.tools.rehearsal import Change, State
from checks.tools.tracing import Trace

_SHOWN = 5


def refuse(trace: Trace, clone: Address, after: State, change: Change, may_change_nothing: bool) -> None:
    """CheckError where migrations were only written down, or nothing changed and nobody knows that nothing had to.

    ``may_change_nothing``: the plan says so, for a command that is not Django's or whose Django cannot be watched.
    """
    planned = trace.planned_in(clone.database)
    if any(each.fake and each.migrations for each in planned):
        raise CheckError(
            "The migrate command wrote migrations down as applied without executing them (--fake), so they were not"
            " rehearsed.",
            remedy="Take --fake out of the command.",
        )
    if change.anything:
        return
    left = trace.left_in(clone.database, {each.name for each in after.migrations})
    if left:
        more = f" and {len(left) - _SHOWN} more" if len(left) > _SHOWN else ""
        raise CheckError(
            f"The migrate command changed nothing, and {len(left)} migration(s) that its code knows are not applied:"
            f" {', '.join(left[:_SHOWN])}{more}. So nothing was rehearsed.",
            remedy="Let it migrate every application of the release, to its newest migration.",
        )
    if not planned and not may_change_nothing:
        raise CheckError(
            "The migrate command changed nothing, and Django was not seen to look for migrations in the clone. So"
            " nothing was rehearsed.",
            remedy="Let it really migrate: with --plan or --check it only prints. Where it is not Django's, or its"
            " Python does not load the wrapper, and there may be nothing to do, say may_change_nothing: true in the"
            " plan.",
        )


def refuse_elsewhere(trace: Trace, clone: Address) -> None:
    """CheckError where a migration ran in another database than the clone."""
    for name, database in trace.outside_of(clone.database):
        raise CheckError(
            f"{name} ran in {database}, not in the clone.",
            remedy="It is really migrated now. Look what was done there before anything else; then let the command"
            " migrate no other database, or lead it away by the command's variables.",
        )
