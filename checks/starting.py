"""Starting every check that blocks a release at once: which they are, what they leave behind, and the starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from checks import services
from checks.kinds.base import all_kinds, get_kind
from checks.models import Run
from checks.plan import CheckSection, from_document
from releases.domain.gate import evaluate
from releases.enums import Role
from releases.errors import DomainError
from releases.models import Environment, Release, User
from releases.permissions import require

_STARTERS = (Role.ENGINEER, Role.RELEASE_MANAGER)


@dataclass(frozen=True)
class Wanted:
    """A check that blocks and does not run. ``item``: the title of the checklist's item that it answers.

    ``check``: None where the checklist names a check that the plan does not have.
    """

    section: str
    item: str
    check: CheckSection | None
    environment: Environment | None

    @property
    def left_behind(self) -> list[str]:
        """What people should know before they start it."""
        return left_behind(self.check.kind, self.check.params) if self.check else []


def left_behind(kind: str, params: Mapping[str, Any]) -> list[str]:
    """What a run of this kind with these parameters leaves behind, in sentences for people.

    Nothing where there is no such kind or parameter any more: such a run is refused.
    """
    try:
        found = get_kind(kind)
        return found.left_behind(found.Params.model_validate(params))
    except (KeyError, ValidationError):
        return []


def wanted(release: Release) -> list[Wanted]:
    """Every check whose item blocks and does not run, in the order in which they are to be started.

    Deploys and rollbacks are left out; a person decides about each of them.
    """
    plan = from_document(release.plan_version.document)
    found: dict[tuple[str, int | None], Wanted] = {}
    for status in evaluate(release).items:
        item = status.item
        if item.section.startswith("checks.") and item.blocking and not status.green and not status.running:
            check = plan.checks.get(item.section.removeprefix("checks."))
            place = (item.section, item.environment_id)
            found[place] = Wanted(item.section, item.title, check, item.environment)
    followers = {kind.name for kind in all_kinds() if kind.follows}
    # What judges that which another check makes is started after it.
    return sorted(found.values(), key=lambda one: one.check is not None and one.check.kind in followers)


def start_blocking(
    *, release: Release, actor: User, only: Sequence[Wanted] | None = None
) -> tuple[list[Run], list[str]]:
    """Start every check whose item blocks and does not run: the runs, and a sentence for each that could not start.

    ``only``: these of them. Each start is a transaction of its own. Raises NotAllowed where the person may start
    nothing.
    """
    require(actor, release.application, *_STARTERS)
    started, refused = [], []
    for one in wanted(release) if only is None else only:
        try:
            started.append(
                services.start_run(
                    application=release.application, section=one.section, environment=one.environment,
                    release=release, actor=actor,
                )
            )  # fmt: skip
        except DomainError as error:
            refused.append(f"{one.item}: {error.message}")
    return started, refused
