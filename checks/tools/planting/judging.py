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
    """What a check said once. ``said``: passed, failed or errored; ``named``: what it found wrong.

    ``let_pass``: what it found and does not say no to, by the plan's own rules -> what they do with it.
    """

    said: str
    summary: str
    named: list[str]
    result: Mapping[str, Any] = field(default_factory=dict)
    let_pass: dict[str, str] = field(default_factory=dict)


def look(kind: Kind, inner: RunContext) -> Seen:
    """Run a check in its surroundings; what it named is all that it returned."""
    try:
        outcome = kind.rehearse(inner)
        said, summary = "passed" if outcome.passed is True else "failed", outcome.summary
    except Inconclusive as error:
        outcome, said, summary = error.outcome, "errored", error.message
    except CheckError as error:
        return Seen("errored", error.message, [])
    seen = Seen(said, summary[:300], named(kind.name, outcome.result), outcome.result)
    seen.let_pass = let_pass(kind.name, outcome.result)
    if kind.name == "parity" and inner.params.strict:
        # Then the plan says no to a drift as well.
        drifts = [line for line, how in seen.let_pass.items() if how == _WARNS]
        seen.named += drifts
        for line in drifts:
            del seen.let_pass[line]
    return seen


def named(kind: str, result: Mapping[str, Any]) -> list[str]:
    """What the check found wrong, each by its own name; sentences where the kind writes sentences."""
    if kind == "parity":
        return [_of_parity(row) for row in _rows(result) if row["state"] == "breaking"]
    if kind == "smoke":
        return [f"{answer['path']}: {'; '.join(answer['problems'])}" for answer in result["answers"]
                if not answer["passed"]]  # fmt: skip
    if kind == "audit":
        return [_of_audit(row) for row in result["findings"] if row["blocks"]]
    if kind in ("drill", "disaster"):
        return [str(sentence) for sentence in result["differences"]]
    if kind in ("retention", "wal_archive"):
        return [str(sentence) for sentence in result["wrong"]]
    if kind == "suite":
        return [failure["name"] for failure in result["failures"]]
    if kind == "load":
        return [sentence for step in result["steps"] for sentence in step["broken"]]
    if kind == "reconcile":
        return [f"{table['label']}: {table['missing']} missing" for table in result["tables"] if not table["agrees"]]
    if kind == "transition":
        conflicts = [f"{conflict['table']}: {conflict['text']}" for conflict in result["conflicts"]]
        return [*conflicts, *result["differences"], *result["undo"]["differences"]]
    return [str(sentence) for sentence in result.get("problems", [])]


_WARNS = "only warn of it"


def let_pass(kind: str, result: Mapping[str, Any]) -> dict[str, str]:
    """What the check found and does not say no to -> what the plan's rules do with it."""
    if kind == "parity":
        found = {_of_parity(row): _WARNS for row in _rows(result) if row["state"] == "drift"}
        return found | {_of_parity(row): f"expect it: {row['why']}" for row in _rows(result)
                        if row["state"] == "expected"}  # fmt: skip
    if kind == "audit":
        return {_of_audit(row): f"only warn of it, which is {row['severity']}" for row in result["findings"]
                if not row["blocks"]}  # fmt: skip
    return {}


def _rows(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [row for area in result["areas"] for row in area["rows"]]


def _of_parity(row: Mapping[str, Any]) -> str:
    return f"{row['fact']}: {row['here'] or 'none'} against {row['there'] or 'none'}"


def _of_audit(row: Mapping[str, Any]) -> str:
    return f"{row['rule']}: {row['title']} ({row['place']})"


def names(said: Iterable[str], wanted: str, sign: str = "") -> bool:
    """Whether a name is among what was said, whole: ``/`` is not in ``/courses/``, nor ``a.b`` in ``a.b_old``.

    With ``sign`` only where these words stand in the same sentence.
    """
    whole = re.compile(rf"(?<![\w./-]){re.escape(wanted)}(?![\w/-]|\.\w)")
    return any(whole.search(line) for line in said if sign in line)


def verdict(planted: Planted, clean: Seen, seen: Seen) -> dict[str, str]:
    """Caught: said no, and named what was planted, which it had not named before."""
    wanted = (planted.named, *planted.known_as)
    broke = planted.breaks and (clean.said, seen.said) == ("passed", "errored")
    if broke and _any([seen.summary], wanted, planted.sign):
        return {"verdict": "caught", "why": f"broke off and named {planted.named}"}
    if seen.said == "errored" or (clean.said == "errored" and not clean.named):
        broken = seen if seen.said == "errored" else clean
        return {"verdict": "unclear", "why": f"the check could not judge: {broken.summary}"}
    if _any(clean.named, wanted) or _any(clean.let_pass, wanted):
        return {"verdict": "unclear", "why": f"the check named {planted.named} without the fault as well"}
    if seen.said == "failed" and _any(seen.named, wanted):
        if _any(seen.named, wanted, planted.sign):
            return {"verdict": "caught", "why": f"said no and named {planted.named}"}
        return {"verdict": "unclear", "why": f"the check named {planted.named}, and said nothing of the fault"}
    how = next((how for line, how in seen.let_pass.items() if _any([line], wanted)), "")
    if how:
        return {"verdict": "warned", "why": f"the plan's own rules {how}; it would block no release"}
    if seen.said == "passed":
        return {"verdict": "missed", "why": f"the check passed although {planted.told}"}
    return {"verdict": "missed", "why": f"the check said no, and did not name {planted.named}"}


def _any(said: Iterable[str], wanted: Iterable[str], sign: str = "") -> bool:
    lines = list(said)
    return any(names(lines, each, sign) for each in wanted)
