"""What a fault is: how it is planted, on what ground, and what the check has to name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checks.plan import Plan
from checks.tools.planting.proxy import Spoiling
from checks.tools.postgres import Address


def in_a_sentence(title: str) -> str:
    """A title in the midst of a sentence: 'A page is broken' -> 'a page is broken', and DEBUG stays as it is."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


@dataclass
class Planted:
    """What the check is given, and what it has to name. ``told``: what was planted, in words.

    ``known_as``: other names, one of which will do as well.
    ``build``: a file in place of the release's build. ``removed``: takes away what lies elsewhere than in a copy.
    ``missed``: after the look, why the fault did not get to where the check looks, "" where it did.
    """

    told: str
    named: str
    params: dict[str, Any] = field(default_factory=dict)
    spoiling: Spoiling | None = None
    build: Path | None = None
    removed: Callable[[], None] | None = None
    missed: Callable[[], str] | None = None
    known_as: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ground:
    """Where a fault is planted: the copy (for those that need one), the original, its variable.

    ``build`` with its name in the release; ``backups``: application, environment and run (hex) of a backup's copy;
    ``clean``: what the check's look without the fault returned; ``folder``: for files of this fault.
    """

    copy: Address | None
    original: Address
    variable: str
    requests: list[Mapping[str, Any]]
    headers: frozenset[str]
    build: tuple[Path | None, str]
    backups: tuple[str, str, str]
    clean: Mapping[str, Any]
    folder: Path


@dataclass(frozen=True)
class Fault:
    """``plant``: (params of the plan's check, where) -> Planted. ``copy``: it changes a copied database.

    ``clean``: what both looks are given besides, without the fault and with it; ``shaped``: the same, made of the
    plan's parameters. ``needed``: raises NotPlantable before the first look; (plan, params of its check, environment).
    ``at_home``: the check looks at the environment that the plan names for it, not at the rehearsal's. ``in_place``:
    the copy stands for the environment's own database. ``own``: only a check of the plan can be tried. ``look``: of an
    audit, the one that has to find it.
    """

    key: str
    title: str
    kind: str
    plant: Callable[[Mapping[str, Any], Ground], Planted]
    copy: bool = False
    clean: Mapping[str, Any] = field(default_factory=dict)
    needed: Callable[[Plan, Mapping[str, Any], str], None] | None = None
    at_home: bool = False
    in_place: bool = False
    own: bool = False
    look: str = ""
    shaped: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
