"""What a drill found, as files: how long each phase took, what was looked at, and every table with its rows."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from checks.kinds.base import Artifact, RunContext
from checks.tools import report_files

_RECOVERY: Final = ("phase", "seconds", "target_seconds", "within")
_CHECKS: Final = ("check", "outcome", "said")
_TABLES: Final = ("table", "dumped_rows", "restored_rows", "content")
_WORDS: Final = {True: "yes", False: "no"}


def keep(
    context: RunContext,
    name: str,
    result: Mapping[str, Any],
    figures: Mapping[str, Any],
    tables: Sequence[Mapping[str, Any]],
) -> list[Artifact]:
    """``tables``: every one that was compared; ``result`` has those that the page shows."""
    rows = [
        {
            "table": row["table"],
            "dumped_rows": row["expected"],
            "restored_rows": row["found"],
            "content": "same" if row["equal"] else "differs",
        }
        for row in tables
    ]
    whole = {key: value for key, value in result.items() if not key.startswith("tables_left_out")}
    document = {**whole, "tables": tables, "figures": figures}
    return report_files.keep(
        context,
        name,
        document,
        {
            "recovery": (_RECOVERY, recovery_rows(result)),
            "checks": (_CHECKS, result["checks"]),
            "tables": (_TABLES, rows),
        },
    )


def recovery_rows(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each phase; then, where the drill came so far, the recovery's time and the data's age beside their targets."""
    rows: list[dict[str, Any]] = [{"phase": row["name"], "seconds": row["seconds"]} for row in result["phase_rows"]]
    recovery = result.get("recovery")
    if recovery is None:
        return rows
    return [
        *rows,
        {"phase": "all of them (RTO)", "seconds": recovery["rto_seconds"], "target_seconds": recovery["rto_target"],
         "within": _WORDS[recovery["within_rto"]]},
        {"phase": "age of the data (RPO)", "seconds": recovery["age_seconds"],
         "target_seconds": recovery["rpo_target"], "within": _WORDS[recovery["within_rpo"]]},
        {"phase": "between the last two backups", "seconds": recovery["interval_seconds"]},
    ]  # fmt: skip
