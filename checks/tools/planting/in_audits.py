"""Faults that an audit has to find, each by one of its looks."""

from collections.abc import Mapping
from typing import Any

from checks.tools.planting.fault import Ground, Planted
from checks.tools.planting.materials import with_bad_pin


def vulnerable_pin(params: Mapping[str, Any], ground: Ground) -> Planted:
    listed, bad = with_bad_pin(*ground.build)
    build = ground.folder / "requirements.txt"
    build.write_text(listed, encoding="utf-8")
    return Planted(f"the copied list of packages pins {bad}", bad, build=build)
