"""The plan of an example at the ports that this machine chooses.

The plans in ``examples/`` name fixed ports. Where something else has one of them, the variables
``<EXAMPLE>_STAGING_PORT`` and ``<EXAMPLE>_PRODUCTION_PORT`` put another in its place. An environment that is served
with TLS as well has it at the port ten above.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_ENVIRONMENTS: Final = ("staging", "production")
TLS_ABOVE: Final = 10
_ADDRESS: Final = r"(?m)^  {}:(?:.|\n)*?url:\s*[\"']?http://127\.0\.0\.1:(\d+)"


class WrongPort(ValueError):
    """A variable names no port that can be used; the text says which, and what it may be."""


def example_plan(folder: Path, variables: Mapping[str, str]) -> str:
    """The text of ``folder/plan.yaml`` with the ports that ``variables`` ask for. WrongPort where one is none."""
    text = (folder / "plan.yaml").read_text(encoding="utf-8")
    written = plan_ports(text)
    wanted = {name: _wanted(variable_of(folder.name, name), variables) or port for name, port in written.items()}
    if not written:
        return text
    if len(set(wanted.values())) < len(wanted):
        names = " and ".join(variable_of(folder.name, name) for name in written)
        raise WrongPort(f"{names} must differ, and both environments would answer at {wanted['staging']}.")
    if str(written["staging"] + TLS_ABOVE) in text and wanted["staging"] + TLS_ABOVE == wanted["production"]:
        named = variable_of(folder.name, "production")
        raise WrongPort(f"{named} must not be ten above that of staging, which has TLS at {wanted['production']}.")
    # All at once, so that two environments may also swap.
    changes = {
        str(port + above): str(wanted[name] + above) for name, port in written.items() for above in (TLS_ABOVE, 0)
    }
    return re.sub(rf"\b(?:{'|'.join(changes)})\b", lambda found: changes[found[0]], text)


def plan_ports(text: str) -> dict[str, int]:
    """Environment -> port of this machine at which the plan expects it."""
    found = {name: re.search(_ADDRESS.format(name), text) for name in _ENVIRONMENTS}
    return {name: int(match[1]) for name, match in found.items() if match}


def variable_of(example: str, environment: str) -> str:
    """THINKINCOIN_STAGING_PORT and the like."""
    return f"{example}_{environment}_PORT".upper()


def _wanted(name: str, variables: Mapping[str, str]) -> int | None:
    text = variables.get(name, "").strip()
    if not text:
        return None
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise WrongPort(f"{name} must be a port from 1024 to 65535, and is {text!r}.")
    return int(text)
