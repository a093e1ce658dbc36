"""Faults of answers: what a server in front of the environment spoils."""

from collections.abc import Mapping
from typing import Any, Final

from checks.tools.loading.params import LoadParams
from checks.tools.planting.fault import Ground, Planted
from checks.tools.planting.materials import NotPlantable
from checks.tools.planting.proxy import EVERY, Spoiling
from checks.tools.planting.slowness import MORE_SECONDS, tightest

_HEADERS: Final = ("x-frame-options", "content-security-policy", "strict-transport-security", "x-content-type-options",
                   "referrer-policy", "cross-origin-opener-policy")  # fmt: skip


def missing_header(params: Mapping[str, Any], ground: Ground) -> Planted:
    name = next((name for name in _HEADERS if name in ground.headers), "")
    if not name:
        raise NotPlantable("the first page sends no header of those that protect")
    page = (params.get("pages") or ["/"])[0]
    return Planted(f"the header {name} is missing", f"http.{page} {name}", {"breaking": ["http.*"]}, Spoiling(name))


def slow_endpoint(params: Mapping[str, Any], ground: Ground) -> Planted:
    request = ground.requests[0]
    seconds = float(str(request["within"]).removesuffix("s"))
    delay = min(seconds, 3.0) + 0.5
    quick = [{**request, "within": f"{min(seconds, 3.0):g}s"}]
    spoiling = Spoiling(slow={request["path"]: delay})
    return Planted(f"{request['path']} takes {delay:g} s longer", request["path"], {"requests": quick}, spoiling)


def broken_page(params: Mapping[str, Any], ground: Ground) -> Planted:
    path = ground.requests[-1]["path"]
    return Planted(f"{path} answers 500", path, {}, Spoiling(broken=path))


def slow_under_load(params: Mapping[str, Any], ground: Ground) -> Planted:
    delay = tightest(LoadParams.model_validate(params)) + MORE_SECONDS
    return Planted(f"every answer takes {delay:g} s longer", "median", {}, Spoiling(slow={EVERY: delay}))
