"""Folders of a worker as a log and a page show them: by the names that a plan uses, or relative, never from the root.

Where a worker has its folders says nothing about a run, differs from worker to worker, and is nobody's business who
may read the run. The plan's folder, in which commands are started, and the program's own are left away; the work folder
is `$GONOGO_WORK`, the home `{GONOGO_HOME}`.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from django.conf import settings

from checks.models import Run

#: What stands for a folder that is left away, where nothing follows it.
HERE: Final = "."


class Places:
    """``names``: (folder, its name; "" to leave it away). An inner folder goes before an outer one."""

    def __init__(self, names: Iterable[tuple[str, str]] = ()) -> None:
        known = {folder.rstrip("/"): name for folder, name in names}
        known.pop("", None)
        self._names = known
        ordered = sorted(known, key=len, reverse=True)
        # Whole names only: /srv/shop is not in /srv/shopping, nor in /old/srv/shop.
        folders = "|".join(re.escape(folder) for folder in ordered)
        ends = r"(?:/(?=[\w.\-{$<%])|(?![\w\-.])|(?=\.(?:\s|$)))"
        self._pattern = re.compile(rf"(?<![\w.\-])({folders}){ends}") if known else None

    @classmethod
    def of(cls, run: Run, scratch: Path) -> "Places":
        home, program = str(settings.GONOGO_HOME), str(settings.BASE_DIR)
        return cls(
            [(program, ""), (run.application.plan_folder, ""), (home, "{GONOGO_HOME}"), (str(scratch), "$GONOGO_WORK")]
        )

    def shown(self, text: str) -> str:
        """A text with its folders named."""
        return self._pattern.sub(self._name, text) if self._pattern is not None else text

    def _name(self, match: re.Match[str]) -> str:
        name, goes_on = self._names[match[1]], match[0].endswith("/")
        if name:
            return f"{name}/" if goes_on else name
        return "" if goes_on else HERE
