"""A test that fails, reported beside the plan's own tests."""

import shlex
import sys
from collections.abc import Mapping
from typing import Any, Final

from checks.plan import Plan
from checks.tools.planting.fault import Ground, Planted
from checks.tools.planting.materials import NotPlantable

_FAILING: Final = "gonogo.a_planted_test"
_REPORTS: Final = "gonogo-planted/*.xml"
#: Run when the plan's own command has ended, in the look's own folder.
_REPORT: Final = """
import os, pathlib
folder = pathlib.Path(os.environ["GONOGO_WORK"], "gonogo-planted")
folder.mkdir(exist_ok=True)
case = '<testcase classname="gonogo" name="a_planted_test"><failure message="It was planted."/></testcase>'
(folder / "report.xml").write_text('<testsuite name="planted">' + case + "</testsuite>")
print("Planted: a report of one more test, which failed.")
"""


def refuse_without_command(plan: Plan, planned: Mapping[str, Any], environment: str) -> None:
    if not planned.get("command"):
        raise NotPlantable("the plan's tests are uploaded and not run, so nothing could be planted beside them")


def failing_test(params: Mapping[str, Any], ground: Ground) -> Planted:
    """One failing test more. The plan's own command keeps its exit status, and whatever it exits with, this is told."""
    command = dict(params["command"])
    own = shlex.join(command["argv"]) if command.get("argv") else command["script"]
    added = shlex.quote(shlex.join([sys.executable, "-c", _REPORT]))
    command = {key: value for key, value in command.items() if key != "argv"} | {
        "script": f"trap {added} EXIT\n(\n{own}\n)\n"
    }
    reports = [*params.get("reports", ["reports/*.xml"]), _REPORTS]
    return Planted("one more test was reported, which failed", _FAILING, {"command": command, "reports": reports})
