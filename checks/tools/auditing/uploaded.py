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
    whole: bool = Field(
        default=False, description="Each file tells of the whole source: what it does not name any more is mended."
    )
    tools: list[str] = Field(default=[], description="Tools, as they call themselves, that the file must tell of.")


class SarifLook:
    """Believes a log only where each of its tools says that it ran to its end.

    ``names_build``: after the look, whether the file itself says that it is about this build.
    """

    before = ""

    def __init__(self, section: SarifSection, uploaded: str) -> None:
        self.section, self._uploaded = section, uploaded
        self.tool, self.names_build = "SARIF", False

    def look(self, context: RunContext, step: StepHandle) -> Seen:
        if not self._uploaded:
            raise NotSeen("No SARIF file came with this run.", remedy="Upload one when you start the run.")
        step.doing("Reading the uploaded SARIF file")
        with fetched(context, self._uploaded).open("rb") as stream:
            log = sarif.read(
                stream.read(sarif.MAX_BYTES + 1), family=Family(self.section.family), whole=self.section.whole
            )
        names = sorted({name for name, _ in log.tools})
        if missing := sorted({name.casefold() for name in self.section.tools} - {name.casefold() for name in names}):
            raise NotSeen(f"The SARIF file has no run of {', '.join(missing)}; it has {', '.join(names)}.")
        own = context.run.build_digest
        if others := sorted(set(log.builds) - {"", own}):
            raise NotSeen(
                f"The SARIF file is about the build {others[0][:12]}, and this run is about {own[:12] or 'no build'}.",
                remedy="Upload what the scanner said of this build.",
            )
        self.names_build = bool(own) and set(log.builds) == {own}
        if not self.names_build:
            context.note("The SARIF file does not name a build; who uploaded it vouches that it is about this one.")
        # By its own name, so that only what this scanner saw before can be resolved by it.
        self.tool = ", ".join(names)[:60]
        return log.seen
