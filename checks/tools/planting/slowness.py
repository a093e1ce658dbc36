"""How load is made so briefly that a planted slowness shows, and no longer."""

import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from checks.plan import Plan
from checks.tools.loading import limits
from checks.tools.loading.limits import Limit
from checks.tools.loading.params import LoadParams, consent_refusal
from checks.tools.planting.materials import NotPlantable

#: Slower answers than these are not planted, so that a look stays short.
LONGEST_SECONDS: Final = 15.0
#: Fewer answers say nothing; twice as many are made room for, where all of them are slow.
SAMPLES: Final = 10
#: How much longer than the limit each answer takes.
MORE_SECONDS: Final = 0.5
#: What a sound answer is taken to need, where the limit is so long; for how long a look is, not for what it judges.
_SOUND_SECONDS: Final = 0.3
_PAUSE_SECONDS: Final = 1.0
_LOOK_SECONDS: Final = (6, 60)


def refuse_load(plan: Plan, planned: Mapping[str, Any], environment: str) -> None:
    """NotPlantable where nobody consented, or no limit of the plan would say no to slowness."""
    judged_by(LoadParams.model_validate(planned))
    if refusal := consent_refusal(plan, environment, LoadParams.model_validate({**planned, **short(planned)})):
        raise NotPlantable(refusal)


def short(planned: Mapping[str, Any]) -> dict[str, Any]:
    """The plan's load with its least step alone, briefly, and of its limits the one that slowness has to break."""
    params = LoadParams.model_validate(planned)
    limit = judged_by(params)
    users = max(1, int(params.steps[0])) if params.mode == "closed" else 2
    pause = _PAUSE_SECONDS if params.locustfile else params.think.total_seconds()
    least, most = _LOOK_SECONDS
    seconds = limit.bound / 1000
    slow = 2 * SAMPLES * (seconds + MORE_SECONDS + pause) / users
    sound = 2 * max(limit.needs, SAMPLES) * (min(seconds, _SOUND_SECONDS) + pause) / users
    look = math.ceil(max(slow, sound))
    return {
        "mode": "closed", "steps": [users], "hold": params.settle + timedelta(seconds=min(most, max(least, look))),
        "compare": None, "workers": None, "processes": 1, "samples": SAMPLES, "stop": [], "limits": [limit.text],
    }  # fmt: skip


def judged_by(params: LoadParams) -> Limit:
    """The plan's own limit of latency that needs the fewest answers; of those the tightest."""
    found = [limit for limit in limits.parse_all(params.limits) if limit.is_latency and not limit.endpoint]
    if not found:
        raise NotPlantable("the plan's load limits no latency of all addresses together, so it lets slowness pass")
    chosen = min(found, key=lambda limit: (limit.metric == "max", limit.needs, limit.bound))
    if chosen.bound > LONGEST_SECONDS * 1000:
        raise NotPlantable(f"{chosen.text!r} lets answers take longer than a test of the gate waits")
    return chosen
