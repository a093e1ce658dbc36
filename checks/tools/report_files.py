"""What a run found as files to take away: everything as JSON, and the tables that people open in a spreadsheet."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from checks.errors import CheckError
from checks.kinds.base import Artifact, RunContext
from releases import spreadsheet

#: Names of the columns, and the rows.
Table = tuple[Sequence[str], Iterable[Mapping[str, Any]]]


def keep(context: RunContext, name: str, document: Mapping[str, Any], tables: Mapping[str, Table]) -> list[Artifact]:
    """``name``.json with the whole ``document``, and each of ``tables`` as CSV under its own name.

    What was found stays true where the storage takes no file of it: that is told in the log, and the page has the rest.
    """
    kept: list[Artifact] = []
    try:
        for file, (columns, rows) in tables.items():
            kept.append(context.store(f"{file}.csv", b"".join(spreadsheet.lines(columns, rows))))
        text = json.dumps(document, indent=1, ensure_ascii=False, default=str)
        kept.append(context.store(f"{name}.json", text.encode()))
    except CheckError as error:
        context.warn(f"{error.message} What was found stands all the same; its files are not complete.")
    return kept
