"""Limits of figures: each that is missed is named, and ends the benchmark with 1."""

import sys

_missed: list[str] = []


def limited(
    name: str, value: float, *, at_most: float | None = None, at_least: float | None = None, digits: int = 2
) -> str:
    """The limit as it is printed beside the value; one that is missed is noted."""
    word, limit, fits = ("limit", at_most, at_most is None or value <= at_most)
    if at_least is not None:
        word, limit, fits = ("at least", at_least, value >= at_least)
    if not fits:
        _missed.append(f"{name}: {value:,.{digits}f}, {word} {limit:,g}")
    return f"{word} {limit:,g}{'' if fits else '; MISSED'}"


def end() -> None:
    """Name what was missed, and end with 1 where anything was."""
    for told in _missed:
        print(f"MISSED {told}", flush=True)
    if _missed:
        sys.exit(1)
