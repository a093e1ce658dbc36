"""One OSV entry from the bytes of a file, JSON or YAML."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.utils.dateparse import parse_datetime

from checks.findings.fingerprints import clean, package
from checks.tools import careful_yaml

_NOTHING: Final = ("", "null", "~", None)
MAX_NAME: Final = 100


class Unreadable(Exception):
    """The file holds no OSV entry. The text says why."""


@dataclass(frozen=True)
class Entry:
    """``places``: (ecosystem, package as compared). ``names``: id and aliases in capitals."""

    osv_id: str
    names: list[str]
    modified: datetime
    withdrawn: bool
    places: frozenset[tuple[str, str]]
    document: dict[str, Any]


def parse(name: str, data: bytes) -> Entry:
    """Raises Unreadable with a sentence."""
    try:
        tree = _plain(json.loads(data) if name.lower().endswith(".json") else careful_yaml.read(data))
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"it is not valid {'JSON' if name.lower().endswith('.json') else 'YAML'}: {error}") from error
    if not isinstance(tree, dict) or not isinstance(tree.get("id"), str) or not tree["id"].strip():
        raise Unreadable("it has no id")
    return _entry(tree)


def _plain(value: Any) -> Any:
    """What PostgreSQL can keep as JSON."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {clean(str(key)): _plain(each) for key, each in value.items()}
    if (isinstance(value, float) and value != value) or value in (float("inf"), float("-inf")):
        return None
    return value


def _entry(tree: dict[str, Any]) -> Entry:
    if not str(tree.get("schema_version") or "1").startswith("1"):
        raise Unreadable(f"it is of OSV's version {tree['schema_version']}, and 1 is known")
    affected = tree.get("affected") or []
    aliases = tree.get("aliases") or []
    if not isinstance(affected, list) or not isinstance(aliases, list):
        raise Unreadable("its affected packages or aliases are no list")
    names = {tree["id"], *(alias for alias in aliases if isinstance(alias, str))}
    return Entry(
        osv_id=tree["id"].strip()[:MAX_NAME],
        names=sorted(name.strip().upper()[:MAX_NAME] for name in names),
        modified=_moment(tree.get("modified")),
        withdrawn=tree.get("withdrawn") not in _NOTHING,
        places=frozenset(place for each in affected if (place := _place(each)) is not None),
        document=tree,
    )


def _place(affected: Any) -> tuple[str, str] | None:
    """None for what is no package of an ecosystem, such as a repository."""
    if not isinstance(affected, dict):
        raise Unreadable("one of its affected packages is no mapping")
    named = affected.get("package")
    if not isinstance(named, dict):
        return None
    ecosystem, name = named.get("ecosystem"), named.get("name")
    if not isinstance(ecosystem, str) or not isinstance(name, str) or not name.strip():
        raise Unreadable("one of its affected packages has no name")
    _check_ranges(affected)
    return ecosystem.strip()[:60], package(ecosystem, name)[:300]


def _check_ranges(affected: dict[str, Any]) -> None:
    """A range that cannot be read would make an affected version look safe."""
    versions, ranges = affected.get("versions") or [], affected.get("ranges") or []
    if not isinstance(versions, list) or not isinstance(ranges, list):
        raise Unreadable("its versions or ranges are no list")
    for each in ranges:
        events = each.get("events") if isinstance(each, dict) else None
        if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
            raise Unreadable("one of its ranges has no events")


def _moment(value: Any) -> datetime:
    try:
        moment = parse_datetime(str(value))
    except ValueError:
        moment = None
    if moment is None:
        raise Unreadable("it does not say when it was changed")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
