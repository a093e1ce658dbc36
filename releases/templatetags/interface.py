"""Filters and components of the interface: ``{% load interface %}``. docs/interface.md shows each with an example."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final

from django import template
from django.core.paginator import Page
from django.forms import BaseForm, BoundField
from django.http import HttpRequest, QueryDict
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.utils.html import conditional_escape, format_html
from django.utils.safestring import SafeString, mark_safe

from releases import permissions, request_id
from releases.templatetags import interface_charts as charts
from releases.templatetags import interface_figures as figures
from releases.templatetags import interface_format as write
from releases.templatetags import interface_strips as strips
from releases.templatetags.interface_log import ansi_to_html, log_line, zone_note
from releases.templatetags.interface_states import GLYPHS, Look, look

register = template.Library()

NAVIGATION: Final = (
    ("releases", "Releases", "releases:list", "r"),
    ("applications", "Applications", "releases:application_list", "a"),
    ("runs", "Runs", "checks:run_list", "u"),
    ("risks", "Risks", "releases:risk_list", "k"),
    ("monitoring", "Monitoring", "monitoring:overview", "m"),
    ("calendar", "Calendar", "releases:calendar", "c"),
    ("ledger", "Ledger", "releases:ledger", "l"),
)
APP_PARTS: Final = {"checks": "runs", "monitoring": "monitoring"}
#: Pages that hang below an application, by how the names of their addresses begin.
APPLICATION_PAGES: Final = (
    "application", "member_", "plan_", "token", "secret_", "adopt", "schedule", "backup", "finding", "advisories",
)  # fmt: skip
PAGING_NAMES: Final = ("page", "after", "before")


# Filters: how figures are written.

register.filter("duration", write.duration)
register.filter("bytes", write.size)
register.filter("short", write.short_digest)
register.filter("count", write.count)
register.filter("change", write.change)
register.filter("percentage", write.percentage)
register.filter("instant", write.instant)
register.filter("span_words", write.span_words)
register.filter("ansi", ansi_to_html)


@register.filter
def until(value: datetime | None) -> str:
    """How long until or since: ``in 4 d 9 h``, ``2 h ago``; a dash for nothing."""
    return write.relative(value) if value else write.DASH


register.filter("since", until)


@register.filter
def word(state: str, kind: str) -> str:
    """The word of a state: ``{{ run.state|word:"run" }}``."""
    return look(kind, state).word


@register.filter
def tone(state: str, kind: str) -> str:
    """The tone of a state, as a class: ``{{ run.state|tone:"run" }}``."""
    return look(kind, state).tone


_SEAMS: Final = re.compile(r"(?<=[._/:@])(?=\w)")


@register.filter
def seams(value: str) -> SafeString:
    """Let a long name break after its dots, underlines and slashes, so that no column cuts through a word."""
    return mark_safe(_SEAMS.sub("<wbr>", conditional_escape(value)))  # noqa: S308 - escaped just here


@register.filter
def as_change(ratio: float | None) -> str:
    """Write a ratio as what was added or taken away: 1.66 gives ``+66 %``, 0.98 gives ``−2 %``."""
    if ratio is None:
        return write.DASH
    change = round((ratio - 1) * 100)
    return f"{'+' if change > 0 else '−' if change < 0 else ''}{abs(change)} %"


@register.filter
def plain(value: float | None) -> str:
    """Write a number for an attribute, in no language: 0.58."""
    return "" if value is None else f"{value:g}"


# Small parts.


@register.simple_tag
@cache
def glyph(name: str, pulses: bool = False) -> SafeString:
    """Draw a glyph by its name. It says nothing to a screen reader; a word stands beside it."""
    return format_html(
        '<svg class="glyph{}" viewBox="0 0 16 16" aria-hidden="true" focusable="false">{}</svg>',
        " spins" if pulses else "",
        mark_safe(GLYPHS[name]),  # noqa: S308 - a constant of ours
    )


@register.simple_tag
@cache
def state_glyph(kind: str, state: str) -> SafeString:
    """Draw the glyph of a state, in its tone."""
    shown = look(kind, state)
    return format_html('<span class="toned {}">{}</span>', shown.tone, glyph(shown.glyph, shown.pulses))


@register.simple_tag
def pill(kind: str, state: str, text: str = "", url: str = "", detail: str = "") -> SafeString:
    """Show a state: glyph, word and tone. ``text`` replaces the word, ``detail`` follows it, ``url`` makes a link."""
    return _pill(look(kind, state), text, url, detail)


def _pill(shown: Look, text: str, url: str, detail: str) -> SafeString:
    content = format_html(
        "{}{}", glyph(shown.glyph, shown.pulses), " ".join(filter(None, (text or shown.word, detail)))
    )
    if url:
        return format_html('<a class="pill {}" href="{}">{}</a>', shown.tone, url, content)
    return format_html('<span class="pill {}">{}</span>', shown.tone, content)


@register.simple_tag
def moment(value: datetime | None, relative: bool = True, below: bool = False, zone: bool = False) -> SafeString | str:
    """Show a time in the viewer's zone, and how long until or since; ``below`` puts that on a line of its own."""
    if value is None:
        return write.DASH
    shown = format_html(
        '<time class="moment" datetime="{}" title="{} {}">{}{}</time>',
        write.iso(value),
        f"{timezone.localtime(value):%Y-%m-%d %H:%M:%S}",
        write.zone_name(value),
        write.absolute(value),
        f" {write.zone_name(value)}" if zone else "",
    )
    return format_html("{} {}", shown, ago(value, below=below)) if relative else shown


@register.simple_tag
def ago(value: datetime | None, below: bool = False) -> SafeString | str:
    """Show only how long until or since; the time itself is in the title. It ticks where scripts run."""
    if value is None:
        return write.DASH
    return format_html(
        '<time class="relative{}" datetime="{}" title="{} {}" data-relative>{}</time>',
        " below" if below else "",
        write.iso(value),
        write.absolute(value),
        write.zone_name(value),
        write.relative(value),
    )


@register.simple_tag
def elapsed(started: datetime | None, ended: datetime | None = None) -> SafeString | str:
    """Show how long something took, or takes so far; then it ticks."""
    if started is None:
        return write.DASH
    spent = write.duration((ended or timezone.now()) - started)
    if ended is not None:
        return format_html('<span class="num">{}</span>', spent)
    return format_html('<time class="num" datetime="{}" data-elapsed>{}</time>', write.iso(started), spent)


@register.inclusion_tag("components/digest.html")
def digest(value: str | bytes | None, label: str = "digest") -> dict[str, Any]:
    """Show a shortened digest with the whole one in the title and a button that copies it."""
    whole = value.hex() if isinstance(value, bytes) else str(value or "")
    return {"whole": whole, "short": write.short_digest(whole), "label": label}


@register.inclusion_tag("components/bar.html")
def bar(
    parts: Mapping[str, float] | Sequence[tuple[str, float]], label: str, total: float | None = None
) -> dict[str, Any]:
    """Show shares as a bar: ``parts`` are (tone, amount) pairs or a mapping; ``label`` says the same in words."""
    pairs = list(parts.items()) if isinstance(parts, Mapping) else list(parts)
    whole = sum(amount for _, amount in pairs) if total is None else total
    return {"segments": figures.bar_segments(pairs, whole), "label": label}


@register.inclusion_tag("components/lights.html")
def lights(stations: Sequence[Any]) -> dict[str, Any]:
    """Show stations as small lettered lights; each has ``name`` and ``state``, and may have ``letter``."""
    return {
        "lights": [
            {
                "letter": figures.read(one, "letter", "") or str(figures.read(one, "name"))[:1],
                "name": figures.read(one, "name"),
                "look": look("station", str(figures.read(one, "state"))),
            }
            for one in stations
        ]
    }


# Lists.


def _query(request: HttpRequest, **changes: str | int | None) -> str:
    """Return the query of this page with some values changed; None removes one, and paging starts anew."""
    query: QueryDict = request.GET.copy()
    for name in (*PAGING_NAMES, *changes):
        query.pop(name, None)
    for name, value in changes.items():
        if value is not None and value != "":
            query[name] = str(value)
    encoded = query.urlencode()
    return f"?{encoded}" if encoded else "?"


@register.simple_tag(takes_context=True)
def query(context: template.Context, **changes: str | int | None) -> str:
    """Return this page's query with changes: ``<a href="{% query state='failed' %}">``."""
    return _query(context["request"], **changes)


@register.inclusion_tag("components/sort_header.html", takes_context=True)
def sort_header(
    context: template.Context, label: str, key: str, default: str = "", classes: str = "", first: str = "up"
) -> dict[str, Any]:
    """Show a table header that sorts by ``?sort=key`` or ``?sort=-key``; ``default`` is the sort without a query."""
    current = context["request"].GET.get("sort", default)
    direction = {key: "ascending", f"-{key}": "descending"}.get(current, "")
    next_is_down = direction == "ascending" or (not direction and first == "down")
    return {
        "label": label,
        "url": _query(context["request"], sort=f"-{key}" if next_is_down else key),
        "direction": direction,
        "arrow": "down" if direction == "descending" or (not direction and next_is_down) else "up",
        "classes": classes,
    }


@register.inclusion_tag("components/chip.html", takes_context=True)
def chip(context: template.Context, label: str, name: str, value: str = "", count: int | None = None) -> dict[str, Any]:
    """Show a filter that is a link: it sets ``?name=value``; an empty value is the list without that filter."""
    request = context["request"]
    return {
        "label": label,
        "count": count,
        "url": _query(request, **{name: value}),
        "is_on": request.GET.get(name, "") == value,
    }


@register.inclusion_tag("components/pager.html", takes_context=True)
def pager(context: template.Context, page: Page[Any], noun: str = "rows", exports: str = "csv json") -> dict[str, Any]:
    """Show where we are in a list, links to its pages, and links that export the whole filtered list."""
    request = context["request"]
    numbers = page.paginator.get_elided_page_range(page.number, on_each_side=1, on_ends=1)
    return {
        "page": page,
        "noun": noun,
        "exports": [(name.upper(), _query(request, format=name)) for name in exports.split()],
        "links": [
            (number, _query(request, page=number) if isinstance(number, int) else "", number == page.number)
            for number in numbers
        ],
        "previous": _query(request, page=page.number - 1) if page.has_previous() else "",
        "next": _query(request, page=page.number + 1) if page.has_next() else "",
    }


# Forms.


@register.inclusion_tag("components/field.html")
def field(
    bound: BoundField,
    help: str | None = None,  # noqa: A002 - the name templates use
    label: str = "",
    kind: str = "",
) -> dict[str, Any]:
    """Show a form's field with its label, help and errors tied to it for screen readers.

    Where the choices are states, ``kind`` names their kind, and each is shown with its glyph and tone. ``help`` takes
    the place of the field's own; an empty one leaves it out.
    """
    told = bound.help_text if help is None else help
    control = getattr(bound.field.widget, "input_type", "")
    grouped = control in ("radio", "checkbox") and hasattr(bound.field, "choices")
    return {
        "bound": bound,
        "help": told,
        "label": label or bound.label,
        "kind": kind,
        "is_inline": control in ("checkbox", "radio") and not grouped,
        "is_group": grouped,
        "control": bound if grouped else _control(bound, bool(told)),
    }


def _control(bound: BoundField, has_help: bool) -> SafeString:
    described = [f"{bound.auto_id}_help"] * has_help + [f"{bound.auto_id}_error"] * bool(bound.errors)
    attributes: dict[str, str | bool] = {"aria-describedby": " ".join(described)} if described else {}
    if bound.errors:
        attributes["aria-invalid"] = "true"
    # A label stands above; a placeholder that says it again, as django-allauth's do, looks like a value.
    bound.field.widget.attrs.pop("placeholder", None)
    return bound.as_widget(attrs=attributes)


@register.inclusion_tag("components/fields.html")
def fields(form: BaseForm) -> dict[str, Any]:
    """Show every visible field of a form, and the hidden ones."""
    return {"form": form}


@register.inclusion_tag("components/form_errors.html")
def form_errors(form: BaseForm, title: str = "Nothing was changed yet.") -> dict[str, Any]:
    """Show a summary above a form that was refused, each error a link to its field."""
    named = [(bound, bound.errors) for bound in form if bound.errors] if form.is_bound else []
    return {"form": form, "title": title, "named": named}


# Figures.


@register.inclusion_tag("components/timeline.html")
def evidence_timeline(
    rows: Sequence[Any], opens: datetime | None = None, closes: datetime | None = None
) -> dict[str, Any]:
    """Show when each piece of evidence ends, against the window. The rows are those of ``figures.timeline``."""
    return {"timeline": figures.timeline(rows, opens=opens, closes=closes)}


@register.inclusion_tag("components/matrix.html")
def risk_matrix(risks: Sequence[Any], url: str = "", appetite: int | None = None) -> dict[str, Any]:
    """Show risks by likelihood and impact. With ``url`` a filled cell links there with both as a query."""
    return {"rows": figures.risk_matrix(risks, appetite=appetite), "url": url, "impacts": figures.SCALE}


@register.inclusion_tag("components/chart.html")
def chart(drawn: charts.Chart, label: str) -> dict[str, Any]:
    """Show a chart made by ``interface_charts.chart`` in a view; ``label`` says what it shows."""
    return {"chart": drawn, "label": label}


register.simple_tag(strips.sparkline)
register.simple_tag(strips.uptime_strip)


# The log and the frame of the page.

register.simple_tag(log_line, name="log_line")
register.simple_tag(zone_note, name="log_zone")


@register.inclusion_tag("components/navigation.html", takes_context=True)
def navigation(context: template.Context, current: str) -> dict[str, Any]:
    """Show the main navigation; ``current`` names the part the page belongs to, else its address tells."""
    match = context["request"].resolver_match
    if not current and match and match.app_name and (match.url_name or "").startswith(APPLICATION_PAGES):
        current = "applications"
    current = current or APP_PARTS.get(match.app_name if match else "", "")
    links = []
    for key, label, name, shortcut in NAVIGATION:
        try:
            links.append({"key": key, "label": label, "url": reverse(name), "shortcut": shortcut})
        except NoReverseMatch:
            continue
    return {"links": links, "current": current}


@register.simple_tag(takes_context=True)
def manages_people(context: template.Context) -> bool:
    """Whether the pages of people are for the person who looks."""
    return permissions.manages_people(context["request"].user)


@register.simple_tag
def zone() -> str:
    """The name of the viewer's zone now."""
    return write.zone_name()


@register.simple_tag
def request_number() -> str:
    """The id of the request being served, by which the logs name it."""
    return request_id.current()
