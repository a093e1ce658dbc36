"""How load is made so briefly that a planted slowness shows, and no longer."""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from checks.plan import Plan
from checks.tools.loading import limits
from checks.tools.loading.params import LoadParams, consent_refusal
from checks.tools.planting.materials import NotPlantable

#: The limit that is tried is the plan's tightest, and no longer than this, so that a look stays short.
LONGEST_SECONDS: Final = 2.0
#: Fewer answers say nothing of a median; twice as many are made room for, where all of them are slow.
SAMPLES: Final = 10
#: How much longer than the limit each answer takes.
MORE_SECONDS: Final = 0.5
_PAUSE_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = (6, 60)


def refuse_without_consent(plan: Plan, planned: Mapping[str, Any], environment: str) -> None:
    if refusal := consent_refusal(plan, environment, LoadParams.model_validate({**planned, **short(planned)})):
        raise NotPlantable(refusal)


def short(planned: Mapping[str, Any]) -> dict[str, Any]:
    """The plan's load with its least step alone, briefly, and its tightest limit of latency as one of the median."""
    params = LoadParams.model_validate(planned)
    users = max(1, int(params.steps[0])) if params.mode == "closed" else 2
    pause = _PAUSE_SECONDS if params.locustfile else params.think.total_seconds()
    least, most = _LOOK_SECONDS
    look = math.ceil(2 * SAMPLES * (tightest(params) + MORE_SECONDS + pause) / users)
    return {
        "mode": "closed", "steps": [users], "hold": params.settle + timedelta(seconds=min(most, max(least, look))),
        "compare": None, "workers": None, "processes": 1, "samples": SAMPLES, "stop": [],
        "limits": [f"median < {tightest(params) * 1000:g}ms"],
    }  # fmt: skip


def tightest(params: LoadParams) -> float:
    """Seconds that the plan allows an answer at the least; LONGEST_SECONDS where it allows more, or says nothing."""
    allowed = [limit.bound / 1000 for limit in limits.parse_all(params.limits) if limit.is_latency]
    return min([*allowed, LONGEST_SECONDS])
