"""What a plan says of load: who consented to it, the traffic that is expected, and how the application grows."""

from datetime import date
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,59}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Consent(_Section):
    """Somebody who may say so consented to load on an environment. Production needs ``production: true`` as well.

    ``at_most``: requests a second that nothing may go beyond; in closed mode so many users.
    """

    by: str = Field(min_length=2, max_length=200)
    on: date
    until: date | None = None
    at_most: float = Field(gt=0, le=1_000_000)
    production: bool = False

    @model_validator(mode="after")
    def in_order(self) -> Self:
        if self.until is not None and self.until < self.on:
            raise ValueError("until is before on")
        return self


class Traffic(_Section):
    """What is expected at the busiest time. ``headroom``: the application must stand so many times as much."""

    requests_per_second: float = Field(gt=0)
    headroom: float = Field(default=1.5, ge=1, le=20)


class Growth(_Section):
    """What is added when the traffic reaches ``at`` requests a second, and by whom."""

    at: float = Field(gt=0)
    add: str = Field(min_length=3, max_length=300)
    by: str = Field(default="", max_length=200)
    takes: str = Field(default="", max_length=100, description="How long that takes: 10 minutes, two days.")


class LoadSection(_Section):
    """``consent``: environment -> who consented to load on it. ``caching``: what is cached, for how long, and where."""

    consent: dict[Name, Consent] = {}
    expected: Traffic | None = None
    scaling: list[Growth] = Field(default=[], max_length=20)
    caching: list[str] = Field(default=[], max_length=20)

    @model_validator(mode="after")
    def ascending(self) -> Self:
        points = [growth.at for growth in self.scaling]
        if points != sorted(points):
            raise ValueError("scaling is written from the least traffic to the most")
        return self
