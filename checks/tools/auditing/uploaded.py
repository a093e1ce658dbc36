"""What another scanner found, told in a SARIF file that somebody uploaded with the run."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from checks.kinds.base import RunContext, StepHandle
from checks.kinds.suite import fetched
from checks.tools.auditing import sarif
from checks.tools.auditing.looking import NotSeen, Seen
from checks.tools.auditing.said import Family


class SarifSection(BaseModel):
    """A SARIF file comes with each run; without one the look is not complete."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: Literal["source", "secrets", "dependencies", "configuration", "web"] = Field(
        default="source", description="What kind of look the scanner takes."
    )
    tools: list[str] = Field(default=[], description="Tools, as they call themselves, that the file must tell of.")


class SarifLook:
    """Believes a log only where each of its tools says that it ran to its end."""

    before = ""

    def __init__(self, section: SarifSection, uploaded: str) -> None:
        self.section, self._uploaded = section, uploaded
        self.tool = "SARIF"

    def look(self, context: RunContext, step: StepHandle) -> Seen:
        if not self._uploaded:
            raise NotSeen("No SARIF file came with this run.", remedy="Upload one when you start the run.")
        step.doing("Reading the uploaded SARIF file")
        with fetched(context, self._uploaded).open("rb") as stream:
            log = sarif.read(stream.read(sarif.MAX_BYTES + 1), family=Family(self.section.family))
        names = sorted({name for name, _ in log.tools})
        if missing := sorted({name.casefold() for name in self.section.tools} - {name.casefold() for name in names}):
            raise NotSeen(f"The SARIF file has no run of {', '.join(missing)}; it has {', '.join(names)}.")
        # By its own name, so that only what this scanner saw before can be resolved by it.
        self.tool = ", ".join(names)[:60]
        return log.seen
