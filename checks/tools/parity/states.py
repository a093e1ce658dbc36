"""What comparing one fact can come to."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from checks.tools.parity.facts import Area, Fact


class State(StrEnum):
    SAME = "same"
    EXPECTED = "expected"
    DRIFT = "drift"
    BREAKING = "breaking"
    UNKNOWN = "unknown"


#: Worst first, as they are shown.
ORDER = (State.BREAKING, State.UNKNOWN, State.DRIFT, State.EXPECTED, State.SAME)


@dataclass(frozen=True)
class Row:
    """One fact on both sides. ``name`` empty: the whole area. ``why``: reason, or what differs."""

    area: Area
    name: str
    here: Fact | None
    there: Fact | None
    state: State
    why: str = ""

    @property
    def fact(self) -> str:
        return f"{self.area.value}.{self.name}" if self.name else self.area.value

    def as_json(self) -> dict[str, Any]:
        return {
            "area": self.area.value,
            "fact": self.fact,
            "name": self.name,
            "here": self.here.text if self.here else None,
            "there": self.there.text if self.there else None,
            "state": self.state.value,
            "why": self.why,
        }
