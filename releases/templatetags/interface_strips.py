"""Drawings as small as a word: a line of values, and a strip of one cell for each period."""

from collections import Counter
from collections.abc import Sequence

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from releases.templatetags import interface_charts as charts
from releases.templatetags import interface_figures as figures
from releases.templatetags.interface_states import look


def sparkline(values: Sequence[float | None], label: str, tone: str = "live") -> SafeString:
    """Show a small line of values; ``label`` says what it shows."""
    return format_html(
        '<svg class="spark {}" viewBox="0 0 100 20" preserveAspectRatio="none" role="img" aria-label="{}">'
        '<path d="{}"/></svg>',
        tone,
        label,
        charts.sparkline(values),
    )


def uptime_strip(states: Sequence[str], label: str) -> SafeString:
    """Show one cell for each period, oldest first: states of a probe (up, down, slow, unknown).

    A period without an answer is grey and low: nobody asked, which is no news of the probe.
    """
    heights = {"up": (8, 20), "slow": (4, 24), "down": (0, 28), "unknown": (18, 10)}
    told = ", ".join(f"{look('probe', state).word.lower()} {many}" for state, many in Counter(states).items())
    width = 100 / max(len(states), 1)
    cells = format_html_join(
        "",
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="1"/>',
        (
            (_strip_tone(state), figures.percent(index * width), *_cell(heights.get(state, (8, 20)), width))
            for index, state in enumerate(states)
        ),
    )
    return format_html(
        '<svg class="uptime" role="img" aria-label="{}, {} periods: {}">{}</svg>', label, len(states), told, cells
    )


def _strip_tone(state: str) -> str:
    return "idle" if state == "unknown" else look("probe", state).tone


def _cell(place: tuple[int, int], width: float) -> tuple[int, str, int]:
    return place[0], figures.percent(width * 0.82), place[1]
