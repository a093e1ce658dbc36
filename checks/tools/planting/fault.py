"""What a fault is: how it is planted, on what ground, and what the check has to name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from checks.plan import Plan, Request
from checks.tools.planting.proxy import Spoiling
from checks.tools.postgres import Address

#: Raises NotPlantable where a fault cannot be planted: (plan, params of its check, environment of the rehearsal).
Needed = Callable[[Plan, Mapping[str, Any], str], None]
#: Params of the plan's check -> what a look is given in their stead.
Shaped = Callable[[Mapping[str, Any]], Mapping[str, Any]]


def in_a_sentence(title: str) -> str:
    """A title in the midst of a sentence: 'A page is broken' -> 'a page is broken', and DEBUG stays as it is."""
    return title if title[1:2].isupper() else title[:1].lower() + title[1:]


def not_tested(reason: str) -> str:
    """How a proof says that it proves nothing of something."""
    return f"not tested, because {in_a_sentence(reason)}"


@dataclass
class Planted:
    """What the check is given, and what it has to name. ``told``: what was planted, in words.

    ``known_as``: other names, one of which will do as well. ``sign``: words that must stand beside the name, which tell
    this fault from another one at the same place. ``breaks``: the check says no by breaking off with such a sentence.
    ``build``: a file in place of the release's build. ``during``: called with what a step of the check says it does.
    ``removed``: takes away what lies elsewhere than in a copy.
    ``missed``: after the look, why the fault did not get to where the check looks, "" where it did.
    """

    told: str
    named: str
    params: dict[str, Any] = field(default_factory=dict)
    spoiling: Spoiling | None = None
    build: Path | None = None
    during: Callable[[str], None] | None = None
    removed: Callable[[], None] | None = None
    missed: Callable[[], str] | None = None
    known_as: tuple[str, ...] = ()
    sign: str = ""
    breaks: bool = False


@dataclass(frozen=True)
class Ground:
    """Where a fault is planted: the copy (for those that need one), the original, its variable.

    ``build`` with its name in the release; ``owner``: application, environment of the look and run (hex), by which
    things are put into storage;
    ``clean``: what the check's look without the fault returned, nothing before it; ``folder``: for files of this fault.
    """

    copy: Address | None
    original: Address
    variable: str
    requests: list[Request]
    headers: frozenset[str]
    build: tuple[Path | None, str]
    owner: tuple[str, str, str]
    clean: Mapping[str, Any]
    folder: Path


@dataclass(frozen=True)
class Fault:
    """``plant``: (params of the plan's check, where) -> Planted. ``copy``: it changes a copied database.

    ``clean``: what both looks are given besides, without the fault and with it; ``shaped``: the same, made of the
    plan's parameters. Both make a look narrower or shorter; what the plan says no to stays as it is.
    ``sound``: what the look without the fault is shown instead of nothing, such as the same thing without its flaw.
    ``needed``: raises NotPlantable before the first look; (plan, params of its check, environment).
    ``at_home``: the check looks at the environment that the plan names for it, not at the rehearsal's. ``in_place``:
    the copy stands for the environment's own database. ``look``: of an audit, the one that has to find it.
    """

    key: str
    title: str
    kind: str
    plant: Callable[[Mapping[str, Any], Ground], Planted]
    copy: bool = False
    clean: Mapping[str, Any] = field(default_factory=dict)
    needed: Needed | None = None
    at_home: bool = False
    in_place: bool = False
    look: str = ""
    shaped: Shaped | None = None
    sound: Callable[[Mapping[str, Any], Ground], Planted] | None = None
