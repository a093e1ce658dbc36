"""``manage.py check`` fails when a kind is not whole: its page, its words, its parameters, its manual."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core import checks
from django.template.exceptions import TemplateDoesNotExist, TemplateSyntaxError
from django.template.loader import get_template

from checks.kinds.base import Kind, KindParams, all_kinds


def register() -> None:
    checks.register(check_kinds, "kinds")


def check_kinds(**_: Any) -> list[checks.CheckMessage]:
    """E001 to E005 and W001, each with a hint that says what to write and where."""
    return [message for kind in all_kinds() if _ours(kind) for message in _problems(kind)]


def _ours(kind: Kind) -> bool:
    """Kinds that tests register have no pages."""
    return type(kind).__module__.startswith("checks.kinds.")


def _problems(kind: Kind) -> Iterable[checks.CheckMessage]:
    name = type(kind).__qualname__
    for attribute in ("name", "title", "description"):
        if not getattr(kind, attribute, ""):
            yield checks.Error(f"The kind {name} has no {attribute}.", hint="Set the class variable.", id="checks.E001")
    params: Any = kind.Params
    if not (isinstance(params, type) and issubclass(params, KindParams)):
        yield checks.Error(
            f"The parameters of the kind {name} are no KindParams.",
            hint="Derive them from checks.kinds.base.KindParams, so that unknown names are refused.",
            id="checks.E002",
        )
    if not kind.tiers:
        yield checks.Error(
            f"The kind {name} may run nowhere.", hint="Leave tiers out, or name at least one.", id="checks.E003"
        )
    if kind.exclusive == kind.is_check:
        yield checks.Error(
            f"The kind {name} must be either a check or exclusive.",
            hint="What answers a checklist runs again after a lost worker; what changes an environment never does.",
            id="checks.E004",
        )
    try:
        get_template(kind.template())
    except TemplateDoesNotExist:
        yield checks.Error(
            f"The kind {name} has no page.", hint=f"Write templates/{kind.template()}.", id="checks.E005"
        )
    except TemplateSyntaxError as error:
        yield checks.Error(f"The page of the kind {name} is broken: {error}.", id="checks.E005")
    if not _in_manual(kind):
        yield checks.Warning(
            f"The manual does not speak of the kind {name}.",
            hint=f"Write a heading with `{kind.name}` in one of docs/kinds*.md.",
            id="checks.W001",
        )


def _in_manual(kind: Kind) -> bool:
    manuals = sorted((Path(settings.BASE_DIR) / "docs").glob("kinds*.md"))
    # An installed program carries no docs; there is nothing to compare then.
    return not manuals or any(f"`{kind.name}`" in manual.read_text(encoding="utf-8") for manual in manuals)
