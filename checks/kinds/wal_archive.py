"""Point-in-time recovery: is WAL archived, how much would be lost now, and is there a backup to replay it from."""

from datetime import timedelta
from typing import Any, Final, Literal

from pydantic import Field

from checks.kinds.base import Kind, KindParams, Outcome, RunContext, Step, StepHandle, register
from checks.plan import Command, Duration, Plan
from checks.tools import report_files, wal_archive
from checks.tools.postgres import Address, connected
from checks.tools.wal_archive import Archive, Archiver
from releases.templatetags.interface_format import duration, size

MAX_SHOWN = 50
#: Of the backups that the tool holds, as a file.
COLUMNS: Final = ("label", "kind", "ended_at", "age_seconds", "faulty")
_TOOLS = {"pgbackrest": "pgBackRest", "wal-g": "WAL-G"}


class WalArchiveParams(KindParams):
    """``command`` prints what the tool knows, as JSON; it runs on the worker, with the environment's variables."""

    tool: Literal["pgbackrest", "wal-g"] = Field(description="Whose output the command prints.")
    command: Command = Field(
        description="pgbackrest info --output=json, or wal-g backup-list --detail --json, wherever it has to run."
    )
    stanza: str = Field(default="", max_length=200, description="pgBackRest's stanza, where it knows several.")
    longest_gap: Duration | None = Field(
        default=None, description="The newest archived WAL may be so old; the plan's RPO where nothing is said."
    )
    backup_within: Duration = Field(
        default=timedelta(days=8), description="The newest backup to replay from may be so old."
    )


@register
class WalArchive(Kind):
    """Passed means: the server archives, keeps up, did not fail last, and the loss would be within the limit."""

    name = "wal_archive"
    title = "WAL archive"
    description = (
        "Asks the server and pgBackRest or WAL-G how point-in-time recovery stands: the newest archived WAL, failures,"
        " and the backups to replay it from."
    )
    Params = WalArchiveParams
    valid_hours = 1

    def steps(self, plan: Plan, section: str, params: WalArchiveParams) -> list[Step]:
        return [Step("server", "Ask the server's archiver"), Step("tool", f"Ask {_TOOLS[params.tool]}")]

    def run(self, context: RunContext) -> Outcome:
        params: WalArchiveParams = context.params
        with context.step("server") as step:
            address = Address.parse(context.database_url())
            with connected(address, what="the environment's database") as connection:
                archiver = wal_archive.ask_archiver(connection)
            wrong = what_is_wrong(archiver, params.longest_gap or context.plan.recovery.rpo)
            _tell(step, wrong)
        with context.step("tool") as step:
            command = params.command
            printed = context.capture(
                command.arguments, timeout=command.timeout.total_seconds(), variables=command.variables
            )
            archive = wal_archive.READERS[params.tool](printed.output, params.stanza)
            found = _of_tool(archive, archiver, params)
            _tell(step, found)
        return _outcome(context, archiver, archive, [*wrong, *found])


def _tell(step: StepHandle, wrong: list[str]) -> None:
    if wrong:
        step.fail(wrong[0])


def what_is_wrong(archiver: Archiver, limit: timedelta) -> list[str]:
    """Sentences about what is wrong with the archiver."""
    if not archiver.runs:
        because = "it is a standby, and archive_mode is on" if archiver.standby and archiver.mode == "on" else (
            f"archive_mode is {archiver.mode}"
        )  # fmt: skip
        return [f"This server archives no WAL: {because}."]
    wrong = []
    gap = archiver.gap_seconds
    if archiver.fails_now:
        wrong.append(f"Archiving fails: the last try, of {archiver.last_failed}, did not succeed.")
    if archiver.last_archived_at is None:
        wrong.append("Nothing was ever archived since the server's statistics began.")
    elif archiver.behind is None:
        wrong.append(
            f"How far the archive reaches is not known: {archiver.last_archived} was archived last, and is no segment."
            " Give the plan's role pg_monitor, so that the server tells what waits, or wait for the next segment."
        )
    elif not archiver.keeps_up:
        wrong.append(
            f"Archiving lags behind: {archiver.behind:,} whole segments"
            f" ({size(archiver.behind * archiver.segment_bytes)} of WAL) are written and not archived."
            " How much time that is, nobody can say."
        )
    elif gap is not None and gap > limit.total_seconds():
        wrong.append(
            f"The newest archived WAL is {duration(gap)} old; the limit is {duration(limit)}."
            " Where the server only has nothing to write, archive_timeout makes it archive all the same."
        )
    return wrong


def _of_tool(archive: Archive, archiver: Archiver, params: WalArchiveParams) -> list[str]:
    """Sentences about what is wrong with what the tool holds."""
    wrong = [f"{_TOOLS[params.tool]} says: {archive.trouble}."] if archive.trouble else []
    newest = archive.newest
    if newest is None:
        return [*wrong, "There is no backup to replay WAL from."]
    age = (archiver.asked_at - newest.ended_at).total_seconds()
    if age > params.backup_within.total_seconds():
        limit = duration(params.backup_within)
        wrong.append(f"The newest backup to replay from, {newest.label}, is {duration(age)} old; the limit is {limit}.")
    return wrong


def _outcome(context: RunContext, archiver: Archiver, archive: Archive, wrong: list[str]) -> Outcome:
    # While it fails, lags or is off, the newest WAL is no promise for the next minute: nothing is claimed then.
    gap = archiver.gap_seconds if archiver.runs and not archiver.fails_now else None
    newest = archive.newest
    shown = sorted(archive.backups, key=lambda one: one.ended_at, reverse=True)
    result: dict[str, Any] = {
        "tool": _TOOLS[context.params.tool],
        "wrong": wrong,
        "gap_seconds": gap,
        "limit_seconds": (context.params.longest_gap or context.plan.recovery.rpo).total_seconds(),
        "archived": archiver.archived,
        "last_archived": archiver.last_archived,
        "behind": archiver.behind,
        "failed": archiver.failed,
        "last_failed": archiver.last_failed,
        "newest": wal_archive.as_json(newest, archiver.asked_at) if newest else None,
        "backups": [wal_archive.as_json(one, archiver.asked_at) for one in shown],
    }
    figures = {"rpo_seconds": gap, "backups": len(archive.backups), "failed": archiver.failed}
    document = {**result, "figures": figures}
    files = report_files.keep(context, "wal_archive", document, {"backups": (COLUMNS, result["backups"])})
    result |= {"backups": result["backups"][:MAX_SHOWN], "left_out": max(0, len(shown) - MAX_SHOWN)}
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        return Outcome(False, (wrong[0] + more)[:500], figures=figures, result=result, artifacts=files)
    assert newest is not None
    age = result["newest"]["age_seconds"]
    text = f"At most {duration(gap)} would be lost now; {newest.label} to replay from is {duration(age)} old."
    return Outcome(True, text, figures=figures, result=result, artifacts=files)
