"""Which messages of Django's check the settings silence; the other half is ``django_silenced/sitecustomize.py``.

The wrapper is put in front of PYTHONPATH, so it reaches every Python that the command starts. Where it is not loaded
(``python -I`` or ``-E``, a container, a command that sets its own PYTHONPATH), nothing is told, and the command may
print Django's own line ``SILENCED_SYSTEM_CHECKS = [...]`` (``manage.py diffsettings``) instead.
"""

import ast
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).with_name("django_silenced")
_LEVELS: Final = {10: "DEBUGS", 20: "INFOS", 30: "WARNINGS", 40: "ERRORS", 50: "CRITICALS"}
_SETTING: Final = re.compile(r"^SILENCED_SYSTEM_CHECKS = (?P<value>[\[({].*[\])}])(?:  ###)?$", re.MULTILINE)


def variables(file: Path, others: Mapping[str, str]) -> dict[str, str]:
    """What the child's environment needs so that the wrapper is loaded and writes into ``file``."""
    path = others.get("PYTHONPATH", "")
    return {"PYTHONPATH": f"{FOLDER}{os.pathsep + path if path else ''}", "GONOGO_SILENCED_FILE": str(file)}


def messages(file: Path) -> tuple[str, int]:
    """All that was held back, as Django would have printed it, and how many messages that are."""
    try:
        told = [each for line in file.read_text("utf-8").splitlines() for each in json.loads(line)]
        return "\n".join(f"{_LEVELS.get(level, 'WARNINGS')}:\n{text}" for level, text in told), len(told)
    except (OSError, ValueError, TypeError):
        return "", 0


def printed_ids(text: str) -> list[str]:
    """The ids that the command printed as Django's setting; none where it printed none that can be read."""
    found: dict[str, None] = {}
    for match in _SETTING.finditer(text):
        try:
            found |= dict.fromkeys(str(each) for each in ast.literal_eval(match["value"]))
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return []
    return list(found)
