"""Faults that an active look of an audit has to find, shown so that the environment is neither attacked nor filled.

The scan is shown two pages of a server of their own, once sound and once with a hole. Of the questions about log-in and
sessions one is asked, which takes two log-ins.
"""

import html
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from checks.plan import Plan
from checks.tools.planting.fault import Ground, Planted
from checks.tools.planting.materials import NotPlantable
from checks.tools.planting.proxy import Spoiling

_PAGE: Final = "/gonogo-planted"


def refuse_other_modules(plan: Plan, planned: Mapping[str, Any], environment: str) -> None:
    if "xss" not in planned["web"].get("modules", ["xss"]):
        raise NotPlantable("the plan's scan does not look for scripts in pages (xss)")


def pages_alone(planned: Mapping[str, Any]) -> dict[str, Any]:
    """The plan's scan of strangers' pages: nobody logs in to the two that it is shown, and no page is left out."""
    web: dict[str, Any] = {"login": None, "start": [], "exclude": [], "least_pages": 1, "depth": 2}
    return {"web": {**planned["web"], **web}}


def sound_page(params: Mapping[str, Any], ground: Ground) -> Planted:
    return Planted("a page that shows what it is asked for, escaped", _PAGE, spoiling=Spoiling(site=_site(html.escape)))


def script_in_a_page(params: Mapping[str, Any], ground: Ground) -> Planted:
    return Planted(
        f"{_PAGE}, a page of its own, shows what it is asked for without escaping it", _PAGE,
        spoiling=Spoiling(site=_site(str)), sign="Cross Site Scripting",
    )  # fmt: skip


def _site(shown: Callable[[str], str]) -> Callable[[str], bytes]:
    def answered(address: str) -> bytes:
        parts = urlsplit(address)
        words = parse_qs(parts.query).get("q", [""])[0] if parts.path == _PAGE else ""
        link = f'<a href="{_PAGE}?q=tea">Tea</a>' if parts.path == "/" else f"<p>Nothing for {shown(words)}</p>"
        return f"<!doctype html><title>Planted</title>{link}".encode()

    return answered


def refuse_log_out(plan: Plan, planned: Mapping[str, Any], environment: str) -> None:
    if not planned["authentication"]["login"].get("log_out"):
        raise NotPlantable("the plan's audit does not say where people log out (log_out)")
    if production := plan.production_at(plan.environment(environment).url):
        raise NotPlantable(f"{environment} has the address of {production}, where no active look is ever made")


def log_out_alone(planned: Mapping[str, Any]) -> dict[str, Any]:
    """No wrong password is tried, no account is made, no mail is asked for."""
    return {"authentication": {**planned["authentication"], "questions": ["log_out"]}}


def living_session(params: Mapping[str, Any], ground: Ground) -> Planted:
    path = params["authentication"]["login"]["log_out"]
    told = f"{path} takes the cookies away, and the session goes on until the server in front has gone"
    return Planted(told, "session-survives-log-out", spoiling=Spoiling(kept=path))
