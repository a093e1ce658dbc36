"""Facts that a command of the plan reports from where the application runs: JSON, and lists of packages.

What is reported is read strictly: a word that nobody knows, or a line that is no package, is an error and not left out.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from packaging.markers import InvalidMarker, Marker
from packaging.utils import canonicalize_name
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from checks.errors import CheckError
from checks.tools.parity.addresses import masked_line, plain
from checks.tools.parity.facts import Area, Side

KEY_VARIABLE: Final = "GONOGO_PARITY_KEY"
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=200)]
_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*==\s*([^\s;#\\]+)\s*(?:;\s*(.+))?")
_ADDRESSED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*@\s*(\S+)")
_EDITABLE = re.compile(r"-e\s+([^\s#]+)(?:#(\S*))?")
_EGG = re.compile(r"(?:^|&)egg=([A-Za-z0-9._-]+)(?:\[[^\]]*\])?")
_INSTALLERS: Final = frozenset({"pip", "setuptools", "wheel"})


class Reached(BaseModel):
    model_config = ConfigDict(extra="forbid")
    reachable: bool
    detail: str = Field(default="", max_length=200)


class Reported(BaseModel):
    """What the facts command prints. ``variables``: name -> HMAC-SHA256 of the value under GONOGO_PARITY_KEY, in hex.

    ``unknown``: "runtime", or "process.memory" and the like -> why it could not be found out.
    """

    model_config = ConfigDict(extra="forbid")
    runtime: dict[Name, str | int | float | bool] | None = None
    process: dict[Name, str | int | float | bool] | None = None
    variables: dict[Name, Digest] | None = None
    packages: dict[Name, Name] | None = None
    integrations: dict[Name, Reached] = {}
    unknown: dict[Name, Name] = {}


def keyed(key: str, value: str) -> str:
    """The hash by which values are compared and not told: HMAC-SHA256, hex."""
    return hmac.new(key.encode(), value.encode(), hashlib.sha256).hexdigest()


def read_report(text: str) -> Reported:
    """The facts command's output. CheckError where it is not such JSON."""
    try:
        return Reported.model_validate_json(text)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise CheckError(
            f"What the facts command printed cannot be read: {place + ': ' if place else ''}{problem['msg']}.",
            remedy="Let it print one JSON object as docs/kinds-parity.md describes, and everything else to stderr.",
        ) from None


def take_report(report: Reported, side: Side) -> None:
    """Put what was reported on its side; an area that was not reported is unknown."""
    for area, values in ((Area.RUNTIME, report.runtime), (Area.PROCESS, report.process)):
        if values is None:
            side.miss(area, "the facts command does not say")
        else:
            side.fill(area, {name: _text(value) for name, value in values.items()})
    if report.variables is None:
        side.miss(Area.VARIABLE, "the facts command does not say")
    else:
        side.facts.setdefault(Area.VARIABLE, {})
        for name, digest in report.variables.items():
            side.put(Area.VARIABLE, name, digest, "set")
    for name, reached in report.integrations.items():
        word = "reachable" if reached.reachable else "not reachable"
        side.put(Area.INTEGRATION, name, word, f"{word}, {reached.detail}" if reached.detail else word)
    if report.packages is not None:
        packages = {str(canonicalize_name(name)): _plain(value, name) for name, value in report.packages.items()}
        side.fill(Area.PACKAGE, _without_installers(packages))
    for place, why in report.unknown.items():
        word, _, name = place.partition(".")
        if word not in set(Area):
            raise CheckError(
                f"The facts command says that {place} is unknown, which is no area.",
                remedy=f"The areas are {', '.join(Area)}.",
            )
        side.miss(Area(word), why, name)


def read_packages(text: str, marker_environment: Mapping[str, str] | None = None) -> dict[str, str]:
    """``pip freeze``, a requirements file with pins, or ``pip list --format json`` -> name -> version.

    Pins whose marker does not hold are left out; the tools that install are too. CheckError for a line that is none.
    """
    if text.lstrip().startswith("["):
        found = _listed(text)
    else:
        found = {}
        for number, line in _lines(text):
            pin = _pin(line, number, marker_environment)
            if pin is not None:
                found[pin[0]] = pin[1]
    found = _without_installers(found)
    if not found:
        raise CheckError("No package was listed.", remedy="Look in the log at what the command printed.")
    return found


def _without_installers(found: Mapping[str, str]) -> dict[str, str]:
    """They come with a virtual environment, and nothing that runs needs them."""
    return {name: version for name, version in found.items() if name not in _INSTALLERS}


def _listed(text: str) -> dict[str, str]:
    try:
        return {canonicalize_name(entry["name"]): _of_entry(entry) for entry in json.loads(text)}
    except (ValueError, TypeError, KeyError):
        raise CheckError("The list of packages begins as JSON and is none.", remedy="Print it whole.") from None


def _of_entry(entry: Mapping[str, Any]) -> str:
    """An editable one is what lies in its folder, whatever version that calls itself."""
    version, folder = str(entry["version"]), entry.get("editable_project_location")
    return f"editable {_plain(str(folder), entry['name'])}" if folder else version


def _lines(text: str) -> list[tuple[int, str]]:
    """Logical lines with their numbers, continued ones joined, without comments, hashes and options of pip."""
    lines: list[tuple[int, str]] = []
    joined, began = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        began = began or number
        joined += line.removesuffix("\\") + " "
        if line.endswith("\\"):
            continue
        stripped = re.sub(r"\s+--hash=\S+", "", re.sub(r"(^|\s)#(?!egg=).*", "", joined)).strip()
        if stripped and not stripped.startswith("--"):
            lines.append((began, stripped))
        joined, began = "", 0
    return lines


def _pin(line: str, number: int, environment: Mapping[str, str] | None) -> tuple[str, str] | None:
    if match := _PIN.fullmatch(line):
        if match[3] and not _holds(match[3], number, environment):
            return None
        return canonicalize_name(match[1]), match[2]
    if match := _ADDRESSED.match(line):
        return canonicalize_name(match[1]), f"@ {_plain(match[2], match[1])}"
    if match := _EDITABLE.fullmatch(line):
        return _editable(match[1], match[2] or "")
    raise CheckError(
        f"Line {number} of the list of packages is no pinned package: {masked_line(line)[:80]}",
        remedy="Print what pip freeze prints, or a lock file in which every package is pinned by ==.",
    )


def _editable(address: str, fragment: str) -> tuple[str, str]:
    """Where it comes from is what it is: its repository, its commit, and where in it."""
    egg = _EGG.search(fragment)
    last = address.rstrip("/").rpartition("/")[2].partition("@")[0].removesuffix(".git")
    name, rest = egg[1] if egg else last, _EGG.sub("", fragment).strip("&")
    return canonicalize_name(name), f"editable {_plain(address, name)}" + (f"#{rest}" if rest else "")


def _plain(version: str, name: str) -> str:
    """A package's version; of an address everything but user, password and query."""
    try:
        return plain(version)
    except ValueError:
        raise CheckError(
            f"The address of the package {masked_line(name)} cannot be read.",
            remedy="Write what is not allowed in a user or password as %.., or keep credentials out of it.",
        ) from None


def _holds(marker: str, number: int, environment: Mapping[str, str] | None) -> bool:
    try:
        return Marker(marker).evaluate(dict(environment) if environment else None)
    except InvalidMarker:
        raise CheckError(f"Line {number} of the list of packages has a marker that cannot be read.") from None


def marker_environment(side: Side) -> dict[str, str]:
    """What markers ask of an environment, as far as its interpreter was reported."""
    fact = side.facts.get(Area.RUNTIME, {}).get("interpreter")
    match = re.search(r"(\d+\.\d+)\.\d+", fact.value) if fact else None
    return {"python_version": match[1], "python_full_version": match[0]} if match else {}


def _text(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
