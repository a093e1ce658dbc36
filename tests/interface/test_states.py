"""Every state that the program knows has a look, and nothing else has."""

import importlib
import inspect
from collections.abc import Iterator

import pytest
from django.db import models

from releases.templatetags.interface_states import GLYPHS, LOOKS, UnknownStateError, look

ENUMS = {
    "release": "releases.enums.ReleaseState",
    "item": "releases.enums.ItemState",
    "evidence": "releases.enums.EvidenceVerdict",
    "vote": "releases.enums.Choice",
    "verdict": "releases.enums.GateVerdict",
    "run": "checks.enums.RunState",
    "step": "checks.enums.StepState",
    "probe": "monitoring.enums.ProbeState",
    "watch": "monitoring.enums.WatchState",
}


def values() -> Iterator[tuple[str, str]]:
    for kind, path in ENUMS.items():
        module, _, name = path.rpartition(".")
        choices = getattr(importlib.import_module(module), name)
        assert inspect.isclass(choices)
        assert issubclass(choices, models.TextChoices)
        yield from ((kind, value) for value in choices.values)


@pytest.mark.parametrize(("kind", "state"), list(values()))
def test_every_state_of_the_domain_has_a_look(kind: str, state: str) -> None:
    assert look(kind, state).word


@pytest.mark.parametrize(
    ("kind", "state"), [("run", "fine"), ("weather", "passed"), ("run", ""), ("verdict", "passed")]
)
def test_an_unknown_state_is_refused_and_never_shown_as_something_else(kind: str, state: str) -> None:
    with pytest.raises(UnknownStateError):
        look(kind, state)


def test_a_state_may_be_written_with_a_hyphen_or_a_capital() -> None:
    assert look("verdict", "No-Go") is look("verdict", "no_go")


@pytest.mark.parametrize(
    ("kind", "state"),
    [("run", "errored"), ("run", "unknown"), ("run", "lost"), ("run", "cancelled"), ("probe", "unknown"),
     ("evidence", "inconclusive"), ("evidence", "errored"), ("item", "open"), ("item", "expired"),
     ("vote", "none"), ("vote", "void"), ("release", "unknown"), ("ledger", "unchecked")],
)  # fmt: skip
def test_what_did_not_pass_is_never_green(kind: str, state: str) -> None:
    assert look(kind, state).tone != "go"


def test_states_of_one_kind_differ_without_colour() -> None:
    for kind, states in LOOKS.items():
        words = [shown.word for shown in states.values()]
        assert len(set(words)) == len(words), kind


def test_every_look_has_a_glyph_that_exists() -> None:
    assert {shown.glyph for states in LOOKS.values() for shown in states.values()} <= set(GLYPHS)
