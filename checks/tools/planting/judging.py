"""Whether a check that was shown a fault said no to it, and to that."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from checks.errors import CheckError
from checks.kinds.base import Inconclusive, Kind, RunContext
from checks.tools.planting.fault import Planted


@dataclass
class Seen:
    """What a check said once. ``said``: passed, failed or errored; ``named``: what it found wrong."""

    said: str
    summary: str
    named: list[str]
    result: Mapping[str, Any] = field(default_factory=dict)


def look(kind: Kind, inner: RunContext) -> Seen:
    """Run a check in its surroundings; what it named is all that it returned."""
    try:
        outcome = kind.rehearse(inner)
        said = "passed" if outcome.passed is True else "failed"
    except Inconclusive as error:
        outcome, said = error.outcome, "errored"
    except CheckError as error:
        return Seen("errored", error.message, [])
    return Seen(said, outcome.summary[:300], named(kind.name, outcome.result), outcome.result)


def named(kind: str, result: Mapping[str, Any]) -> list[str]:
    """What the check found wrong, each by its own name; sentences where the kind writes sentences."""
    if kind == "parity":
        return [row["fact"] for area in result["areas"] for row in area["rows"] if row["state"] == "breaking"]
    if kind == "smoke":
        return [answer["path"] for answer in result["answers"] if not answer["passed"]]
    if kind == "audit":
        return [f"{row['rule']}: {row['title']} ({row['place']})" for row in result["findings"] if row["blocks"]]
    if kind == "drill":
        return [str(sentence) for sentence in result["differences"]]
    if kind == "suite":
        return [failure["name"] for failure in result["failures"]]
    if kind == "load":
        return [sentence for step in result["steps"] for sentence in step["broken"]]
    if kind == "reconcile":
        return [table["label"] for table in result["tables"] if not table["agrees"]]
    if kind == "transition":
        conflicts = [f"{conflict['table']}: {conflict['text']}" for conflict in result["conflicts"]]
        return [*conflicts, *result["differences"], *result["undo"]["differences"]]
    return [str(sentence) for sentence in result.get("problems", [])]


def names(said: Iterable[str], wanted: str) -> bool:
    """Whether a name is among what was said, whole: ``/`` is not in ``/courses/``, nor ``a.b`` in ``a.b_old``."""
    whole = re.compile(rf"(?<![\w./-]){re.escape(wanted)}(?![\w/-]|\.\w)")
    return any(whole.search(line) for line in said)


def verdict(planted: Planted, clean: Seen, seen: Seen) -> dict[str, str]:
    """Caught: said no, and named what was planted, which it had not named before."""
    if seen.said == "errored" or (clean.said == "errored" and not clean.named):
        broken = seen if seen.said == "errored" else clean
        return {"verdict": "unclear", "why": f"the check could not judge: {broken.summary}"}
    wanted = (planted.named, *planted.known_as)
    if any(names(clean.named, each) for each in wanted):
        return {"verdict": "unclear", "why": f"the check named {planted.named} without the fault as well"}
    if seen.said == "passed":
        return {"verdict": "missed", "why": f"the check passed although {planted.told}"}
    if not any(names(seen.named, each) for each in wanted):
        return {"verdict": "missed", "why": f"the check said no, and did not name {planted.named}"}
    return {"verdict": "caught", "why": f"said no and named {planted.named}"}
