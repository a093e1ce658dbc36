"""Steps of a load made of given latencies, for tests of what is judged afterwards."""

from collections.abc import Sequence
from typing import Any

from checks.tools.loading.record import Figures, Measured


def figures(latencies: Sequence[float], *, seconds: float = 10, failed: int = 0, server_errors: int = 0) -> Figures:
    """``latencies`` in ms."""
    made = Figures(seconds, failed, server_errors)
    for one in latencies:
        made.histogram.record_value(int(one * 1000))
    return made


def measured(load: float, latencies: Sequence[float] = (), **more: Any) -> Measured:
    """One step of ten seconds with one endpoint /, unless ``endpoints`` says otherwise."""
    failed, server_errors = more.pop("failed", 0), more.pop("server_errors", 0)
    endpoints = {"/": figures(latencies, failed=failed, server_errors=server_errors)}
    values: dict[str, Any] = {
        "mode": "closed", "seconds": 10, "users": load, "cpu": 0.2, "endpoints": endpoints, **more,
    }  # fmt: skip
    return Measured(load, **values)
