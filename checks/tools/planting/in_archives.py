"""Faults of an archive of WAL: what its tool says, told otherwise. Neither the server nor the archive is touched."""

import shlex
import sys
from collections.abc import Mapping
from typing import Any, Final

from checks.tools.planting.fault import Ground, Planted

#: Reads what pgBackRest or WAL-G printed and prints the same without a backup; what is no JSON stays as it is.
_WITHOUT_BACKUPS: Final = """
import json, sys
printed = sys.stdin.read()
try:
    told = json.loads(printed)
except ValueError:
    told = None
if sys.argv[1] == "wal-g" and isinstance(told, list):
    told = []
elif sys.argv[1] == "pgbackrest" and isinstance(told, list):
    told = [{**stanza, "backup": []} for stanza in told]
print(printed if told is None else json.dumps(told))
"""


def archive_without_backups(params: Mapping[str, Any], ground: Ground) -> Planted:
    """The plan's command is run, and its list of backups is emptied on the way to the check."""
    command = dict(params["command"])
    own = shlex.join(command["argv"]) if command.get("argv") else command["script"]
    filtered = shlex.join([sys.executable, "-c", _WITHOUT_BACKUPS, params["tool"]])
    # What the plan's command exits with is what this one exits with, as without the fault.
    script = f'printed=$(\n{own}\n) || exit\nprintf "%s" "$printed" | {filtered}\n'
    kept = {key: value for key, value in command.items() if key != "argv"}
    told = "the tool is said to hold no backup from which WAL could be replayed"
    return Planted(told, "There is no backup to replay WAL from", {"command": {**kept, "script": script}})
