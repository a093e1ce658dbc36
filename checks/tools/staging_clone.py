"""A clone of production on the server of another environment: masked before it leaves production's own, or not made."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Final, NoReturn

from checks.errors import CheckError
from checks.kinds.base import RunContext, Step
from checks.plan import Plan
from checks.tools import cloning, masked_copy
from checks.tools.masked_copy import Limits, MaskedCopy
from checks.tools.postgres import Address
from releases.enums import Tier

STEPS: Final[tuple[Step, ...]] = (*masked_copy.LOOK, *masked_copy.MAKE, masked_copy.CARRY)
_WHY_DUMP: Final = "what leaves the original's server is masked there, and carried over by dump and restore"


def is_masked(plan: Plan, clone_on: str) -> bool:
    """Whether a clone must be masked to stand on the server of the environment ``clone_on``; "" is the original's."""
    place = plan.environments.get(clone_on)
    return place is not None and place.tier is not Tier.PRODUCTION


@contextmanager
def staging_clone(
    context: RunContext, source: Address, *, server: Address, place: str, limits: Limits
) -> Iterator[cloning.Clone]:
    """The steps STEPS; the clone at ``server``, which is that of ``place``, dropped at the end.

    CheckError when the inventory leaves something out, or a masked value was found in the clone: then nothing was
    carried over, and the clone beside the original is dropped.
    """
    origin = context.run.environment.name
    if not context.plan.privacy.inventory:
        _refuse(origin, place, "the plan has no privacy.inventory, so nothing says what has to be masked.")
    began = time.monotonic()
    copy = MaskedCopy(context, source, limits)
    copy.look()
    copy.refuse_foreign(place)
    if copy.told:
        _refuse(origin, place, copy.why_not())
    with ExitStack() as stack:
        with copy.made() as beside:
            if copy.told:
                _refuse(origin, place, copy.why_not())
            address = stack.enter_context(copy.carried(beside, server))
            lacking = cloning.give_settings(source, address)
        assert copy.clone is not None
        masked = {
            "environment": place,
            "rows": copy.figures["masked_rows"],
            "seconds": copy.figures["masking_seconds"],
            "compared": copy.figures["compared"],
            "large_objects": copy.result["large_objects"],
        }
        yield replace(
            copy.clone, address=address, method=cloning.WAYS["dump"], seconds=round(time.monotonic() - began, 3),
            passed_over=[(cloning.WAYS[way], _WHY_DUMP) for way in cloning.COPY_METHODS], masked=masked,
            lacking=lacking,
        )  # fmt: skip


def _refuse(origin: str, place: str, why: str) -> NoReturn:
    raise CheckError(
        f"{origin.capitalize()}'s data may not be cloned to {place}: {why} Nothing was rehearsed.",
        remedy="Put privacy.inventory of the plan right, as the check of kind privacy does too; or leave clone_on out,"
        f" so that the clone stands on {origin}'s own server.",
    )
