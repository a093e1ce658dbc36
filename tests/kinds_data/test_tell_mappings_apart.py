"""What stands was moved by this mapping or by another one: by what it does, not by how it is written."""

from typing import Any

import pytest

from checks.tools.transition.declaration import TableMapping, digest

PERSON: dict[str, Any] = {
    "table": "person", "same": ["email", "name"],
    "columns": {"points": {"sql": "points + 1"}, "robot": {"value": False}}, "match": ["email", "name"],
    "ignoring": ["case", "nfc"], "existing": "merge", "merge": {"name": "fill", "points": "greatest"},
    "skip": [{"when": "robot", "reason": "Robots have no account."}, {"when": "id < 5", "reason": "They are ours."}],
}  # fmt: skip
TEAM: dict[str, Any] = {"table": "team", "same": ["name"], "new": "skip", "reason": "Teams are made by hand."}


def of(*tables: dict[str, Any]) -> str:
    return digest([TableMapping.model_validate(table) for table in tables])


@pytest.mark.parametrize("change", [
    {"same": ["name", "email"]},
    {"columns": dict(reversed(PERSON["columns"].items()))},
    {"same": ["email"], "columns": {**PERSON["columns"], "name": "name"}},
    {"table": "public.person", "source_table": "person", "key": ["id"], "target_key": ["id"], "orphans": "stop"},
    {"merge": dict(reversed(PERSON["merge"].items())), "match": ["name", "email"], "ignoring": ["nfc", "case"]},
    {"skip": [{"when": "id < 5", "reason": "Said in other words."}, {"when": "robot", "reason": "And this too."}]},
    {"reason": "It says why."},
])  # fmt: skip
def test_what_is_only_written_differently_is_the_same_mapping(change: dict[str, Any]) -> None:
    assert of({**PERSON, **change}, TEAM) == of(TEAM, PERSON)


@pytest.mark.parametrize("change", [
    {"same": ["name", "email", "born"]},
    {"columns": {**PERSON["columns"], "points": {"sql": "points + 2"}}},
    {"columns": {**PERSON["columns"], "robot": {"value": 0}}},
    {"columns": {**PERSON["columns"], "robot": {"value": True}}},
    {"source_table": "people"}, {"key": ["number"]}, {"target_key": ["number"]}, {"keys": "keep"},
    {"match": ["email"]}, {"ignoring": ["case"]}, {"existing": "skip"}, {"new": "skip"},
    {"merge": {"name": "source", "points": "greatest"}},
    {"skip": PERSON["skip"][:1]}, {"duplicates": "first"}, {"orphans": "skip"}, {"near": "allow"},
])  # fmt: skip
def test_what_does_something_else_is_another_mapping(change: dict[str, Any]) -> None:
    assert of({**PERSON, **change}, TEAM) != of(PERSON, TEAM)
    assert of(PERSON) != of(PERSON, TEAM)
