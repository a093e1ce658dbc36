"""What a plan that is valid will never reach: said when it is published, and not first when a release waits for it."""

from collections.abc import Mapping
from typing import Any

from releases.domain.defaults import read_seconds
from releases.domain.wording import listed


def warnings_of(document: Mapping[str, Any]) -> list[str]:
    """One sentence or two for each trouble ahead, for people; empty where nothing is foreseen."""
    return [
        sentence
        for name, place in sorted(document["environments"].items())
        if place["tier"] == "production" and (sentence := _watch_without_answers(document, name))
    ]


def _watch_without_answers(document: Mapping[str, Any], environment: str) -> str:
    """A release becomes live by what the probes of its environment answer during the watch."""
    probes = [probe for probe in document["probes"] if probe["environment"] == environment]
    if not probes:
        elsewhere = sorted({probe["environment"] for probe in document["probes"]})
        there = f" (they ask {listed(elsewhere)} only)" if elsewhere else ""
        return (
            f"The plan has no probe of {environment}{there}. A release that is deployed there will never have "
            "monitoring data, so it cannot pass its watch and never becomes live. Add one under probes."
        )
    watch = document["watch"]
    duration = read_seconds(watch["duration"])
    intervals = [read_seconds(probe["interval"]) for probe in probes]
    assert duration is not None
    most = sum(int(duration / interval) + 1 for interval in intervals if interval)
    if most < watch["min_answers"]:
        return (
            f"The watch asks for {watch['min_answers']} answers, and the probes of {environment} give {most} at most "
            "in its time, so no release passes it. Ask more often, watch longer, or ask for fewer."
        )
    return ""
