"""How much a difference matters where the plan says nothing else."""

import re

from checks.tools.parity.facts import Area, Fact
from checks.tools.parity.states import State

_MAJOR = re.compile(r"\d+")
_MINOR = re.compile(r"\d+\.\d+")
_BREAKING_SORTS = ("table ", "column ", "view ", "materialized view ", "sequence ", "type ", "schema ")
REACHABLE = "reachable"


def judge(area: Area, name: str, here: Fact | None, there: Fact | None) -> tuple[State, str]:
    """A fact that differs, or is on one side only -> drift or breaking, and why in a few words."""
    missing = here is None or there is None
    if area is Area.SERVER:
        return _by_part(_MAJOR, here, there, "another major version")
    if area is Area.EXTENSION:
        return (State.BREAKING, "only one side has the extension") if missing else (State.DRIFT, "another version")
    if area is Area.COLLATION and name == "encoding":
        return State.BREAKING, "another encoding"
    if area is Area.SCHEMA:
        return _schema(name, missing)
    if area is Area.PACKAGE:
        return (State.BREAKING, "only one side has the package") if missing else (State.DRIFT, "another version")
    if area is Area.RUNTIME and name == "interpreter":
        return _by_part(_MINOR, here, there, "another minor version")
    if area is Area.HTTP and name.endswith(" status"):
        return State.BREAKING, "another status"
    if area is Area.INTEGRATION:
        return State.BREAKING, "not reachable"
    return State.DRIFT, "only one side has it" if missing else ""


def _by_part(pattern: re.Pattern[str], here: Fact | None, there: Fact | None, what: str) -> tuple[State, str]:
    parts = [pattern.search(fact.value) if fact else None for fact in (here, there)]
    first, second = parts
    same = first is not None and second is not None and first.group() == second.group()
    return (State.DRIFT, "") if same else (State.BREAKING, what)


def _schema(name: str, missing: bool) -> tuple[State, str]:
    if name.startswith(_BREAKING_SORTS):
        sort = name.split(" ", 1)[0]
        return State.BREAKING, f"only one side has the {sort}" if missing else f"the {sort} is another"
    return State.DRIFT, "only one side has it" if missing else "defined otherwise"
