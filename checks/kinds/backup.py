"""Back up a database and its configuration: dumped, encrypted, stored, read back, published."""

from datetime import datetime
from typing import Any, ClassVar, Final

from checks.enums import StepCategory
from checks.kinds.base import Artifact, Kind, Outcome, RunContext, Step, register
from checks.plan import Plan
from checks.tools import backup, manifest, report_files

#: Of the tables in the backup, as a file.
COLUMNS: Final = ("table", "rows", "checksum")


@register
class Backup(Kind):
    """Passed means: the manifest is published, and every object was read back as it was written."""

    name: ClassVar[str] = "backup"
    title: ClassVar[str] = "Backup"
    description: ClassVar[str] = (
        "Dumps the environment's database, encrypts it with the declared configuration and media on the way into"
        " storage, reads all back, and publishes the backup with a manifest of row counts and checksums."
    )
    Params: ClassVar[type[backup.BackupOptions]] = backup.BackupOptions
    valid_hours: ClassVar[int] = 24

    def steps(self, plan: Plan, section: str, params: Any) -> list[Step]:
        return [
            Step("take", "Dump, encrypt, store, read back and publish", StepCategory.DATABASE),
            Step("judge", "Compare with the recovery target"),
        ]

    def run(self, context: RunContext) -> Outcome:
        return self._taken(context, aside=False)

    def rehearse(self, context: RunContext) -> Outcome:
        """The same, where no backup is looked for; it is listed nowhere and removed again."""
        stem = manifest.stem_aside(context.run.application.slug, context.run.environment.name, context.run.id.hex)
        try:
            return self._taken(context, aside=True)
        finally:
            manifest.remove(f"{stem}{manifest.SUFFIX}")

    def _taken(self, context: RunContext, *, aside: bool) -> Outcome:
        application, environment = context.run.application.slug, context.run.environment.name
        earlier = manifest.published(application, environment)[:1]
        with context.step("take") as step:
            taken = backup.take(
                context, environment=environment, options=context.params, progress=step.progress, doing=step.doing,
                aside=aside,
            )  # fmt: skip
        with context.step("judge") as step:
            figures, result = _described(context, taken, earlier[0] if earlier else "")
            for name in ("rows", "stored_bytes", "seconds"):
                step.figure(name, figures[name])
        files = [*taken.artifacts, *_files(context, taken, result)]
        summary = (
            f"{figures['tables']:,} tables with {figures['rows']:,} rows are kept as"
            f" {figures['stored_bytes'] / 1e6:,.1f} MB, encrypted and read back."
        )
        if left_out := result["left_out"]["count"]:
            summary += f" {left_out:,} declared path(s) had nothing to take, and are named."
        return Outcome(True, summary, figures=figures, result=result, artifacts=files)


def _described(context: RunContext, taken: backup.TakenBackup, earlier: str) -> tuple[dict[str, Any], dict[str, Any]]:
    document = taken.manifest
    parts = manifest.parts(document).values()
    figures = {
        "seconds": document["seconds"],
        "tables": len(document["tables"]),
        "rows": sum(table["rows"] for table in document["tables"].values()),
        "database_bytes": document["database"]["size"],
        "dump_bytes": sum(part.plain_size for part in parts),
        "stored_bytes": sum(part.size for part in parts),
        "configuration_files": len(document.get("configuration", [])),
        "media_files": document.get("media", {}).get("files", 0),
    }
    since = None
    if earlier and (before := manifest.moment_of(earlier)):
        since = (datetime.fromisoformat(document["snapshot_at"]) - before).total_seconds()
    largest = sorted(document["tables"].items(), key=lambda item: -item[1]["rows"])
    result = {
        **figures,
        "manifest": taken.manifest_key,
        "snapshot_at": document["snapshot_at"],
        "snapshot_text": manifest.snapshot_text(document),
        "server": document["server"]["name"],
        "extensions": document["extensions"],
        "roles": document["roles"],
        "key": document["key"]["id"],
        "parts": [part.as_json() for part in parts],
        "configuration": [{"path": item["path"], "size": item["size"]} for item in document.get("configuration", [])],
        "largest_tables": [{"table": name, "rows": table["rows"]} for name, table in largest[:20]],
        "media": document.get("media", {}),
        "left_out": document["left_out"],
        "sequences_behind": document["behind"],
        "seconds_since_earlier": since,
        "rpo_seconds": context.plan.recovery.rpo.total_seconds(),
        "within_rpo": None if since is None else since <= context.plan.recovery.rpo.total_seconds(),
    }
    return figures, result


def _files(context: RunContext, taken: backup.TakenBackup, result: dict[str, Any]) -> list[Artifact]:
    """Every table with its rows, and what the page shows; the data themselves are in the sealed objects only."""
    rows = [{"table": name, **table} for name, table in sorted(taken.manifest["tables"].items())]
    document = {name: value for name, value in result.items() if name != "largest_tables"} | {"every_table": rows}
    return report_files.keep(context, "backup", document, {"tables": (COLUMNS, rows)})
