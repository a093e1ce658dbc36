"""What every registered kind keeps to, and what the system check says of one that does not."""

import json
from typing import Any

import pytest

from checks import system_checks
from checks.kinds.base import Kind, all_kinds, get_kind, register
from checks.plan import json_schema

OURS = [kind for kind in all_kinds() if type(kind).__module__.startswith("checks.kinds.")]


def test_kinds_are_discovered() -> None:
    assert {"suite", "backup", "drill", "migration", "deploy", "rollback", "smoke"} <= {kind.name for kind in OURS}


@pytest.mark.parametrize("kind", OURS, ids=lambda kind: kind.name)
def test_every_kind_is_whole(kind: Kind) -> None:
    assert list(system_checks._problems(kind)) == []
    assert type(kind).__module__ == f"checks.kinds.{kind.name}"
    assert kind.description.endswith(".")
    assert json.dumps(kind.Params.model_json_schema())
    with pytest.raises(ValueError, match="Extra inputs"):
        kind.Params.model_validate({"there_is_no_such_parameter": 1})


@pytest.mark.parametrize("kind", [kind for kind in OURS if kind.is_check], ids=lambda kind: kind.name)
def test_every_check_is_in_the_schema_of_the_plan(kind: Kind) -> None:
    assert kind.name in json_schema()["$defs"]


class Bare(Kind):
    name = "bare"
    title = ""
    description = "."
    Params: Any = dict
    tiers = frozenset()
    exclusive = True

    def steps(self, plan: Any, section: str, params: Any) -> list[Any]:
        return []

    def run(self, context: Any) -> Any:
        return None


def test_the_system_check_names_everything_that_is_missing() -> None:
    found = {message.id for message in system_checks._problems(Bare())}
    assert found >= {"checks.E001", "checks.E002", "checks.E003", "checks.E004", "checks.E005"}


def test_two_kinds_of_one_name_stop_the_boot() -> None:
    class Suite(Bare):
        name = "suite"

    with pytest.raises(RuntimeError, match="Two kinds are called suite"):
        register(Suite)


def test_an_unknown_kind_is_answered_with_the_known_ones() -> None:
    with pytest.raises(KeyError, match=r"there are: .*backup.*suite"):
        get_kind("no-such-kind")
