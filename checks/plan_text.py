"""The text of a plan: YAML 1.2 without anchors and tags, each value with the line and column at which it stands.

libyaml reads it; what its events mean is decided here, since PyYAML's own rules are those of YAML 1.1, where ``no`` is
false and ``1:30`` a number.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from checks.errors import PlanError

MAX_PLAN_BYTES = 1_000_000
#: Nobody's plan is this deep; a text of brackets alone would be.
MAX_DEPTH = 100

Path = tuple[str | int, ...]
Place = tuple[int, int]

_PARSER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_STRING_TAG = "tag:yaml.org,2002:str"
_MEANINGS: tuple[tuple[re.Pattern[str], Callable[[str], Any]], ...] = (
    (re.compile(r"|~|null|Null|NULL"), lambda _text: None),
    (re.compile(r"true|True|TRUE"), lambda _text: True),
    (re.compile(r"false|False|FALSE"), lambda _text: False),
    (re.compile(r"[-+]?[0-9]+"), int),
    (re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+"), lambda text: int(text, 0)),
    (re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"), float),
    (re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"), lambda text: float(text.replace(".", ""))),
)  # fmt: skip


class PlanText:
    """``tree``: dicts, lists, texts, numbers, truth and None. ``at(path)``: where a part of it stands, 1-based."""

    def __init__(self, text: str) -> None:
        """Raises PlanError, with its place, for the first thing that makes this no plan."""
        self._places: dict[Path, Place] = {}
        try:
            encoded = text.encode()
        except UnicodeEncodeError as error:
            place = _place_in(text, error.start)
            raise _refusal(place, "this character stands for nothing in Unicode; write it anew") from None
        if len(encoded) > MAX_PLAN_BYTES:
            raise _refusal((1, 1), f"the plan is longer than {MAX_PLAN_BYTES:,} bytes")
        self.tree = self._read(text)

    def at(self, path: Path) -> Place:
        """The place of the deepest part of ``path`` that stands in the text."""
        for length in range(len(path), 0, -1):
            if path[:length] in self._places:
                return self._places[path[:length]]
        return 1, 1

    def _read(self, text: str) -> dict[Any, Any]:
        try:
            events = iter(yaml.parse(text, Loader=_PARSER))
            for event in events:
                if isinstance(event, yaml.NodeEvent):
                    tree = self._value(event, events, ())
                    break
            else:
                tree = None
            for event in events:
                if isinstance(event, yaml.DocumentStartEvent):
                    raise _refusal(_place(event), "a plan is one document; leave out what begins here")
        except yaml.MarkedYAMLError as error:
            marks = [mark for mark in (error.problem_mark, error.context_mark) if mark and mark.index < len(text)]
            place = (marks[0].line + 1, marks[0].column + 1) if marks else (1, 1)
            raise _refusal(place, str(error.problem or error.context or "this is not YAML")) from None
        except yaml.reader.ReaderError as error:
            place = _place_in(text, error.position) if isinstance(error.position, int) else (1, 1)
            raise _refusal(place, f"this is not YAML: {error.reason}") from None
        if not isinstance(tree, dict):
            raise _refusal((1, 1), "a plan is a mapping that starts with the key 'application'")
        return tree

    def _value(self, event: yaml.Event, events: Iterator[yaml.Event], path: Path) -> Any:
        _refuse_unwanted(event)
        if len(path) > MAX_DEPTH:
            raise _refusal(_place(event), f"this lies more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(events, path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self._sequence(events, path)
        assert isinstance(event, yaml.ScalarEvent)
        return _scalar(event)

    def _mapping(self, events: Iterator[yaml.Event], path: Path) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for event in events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            if not isinstance(event, yaml.ScalarEvent):
                _refuse_unwanted(event)
                raise _refusal(_place(event), "a key is a single word, not a list or a mapping")
            _refuse_unwanted(event)
            key = _scalar(event)
            if key in found:
                raise _refusal(_place(event), f"duplicate key {event.value!r}: it stands above already")
            self._places[*path, key] = _place(event)
            found[key] = self._value(next(events), events, (*path, key))
        return found

    def _sequence(self, events: Iterator[yaml.Event], path: Path) -> list[Any]:
        found: list[Any] = []
        for event in events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            here = (*path, len(found))
            self._places[here] = _place(event)
            found.append(self._value(event, events, here))
        return found


def _refuse_unwanted(event: Any) -> None:
    """A few lines of aliases could stand for more values than fit in memory; tags could ask for any type."""
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise _refusal(_place(event), "anchors and aliases are not allowed in a plan; write the value out")
    if event.tag not in (None, "!", _STRING_TAG):
        raise _refusal(_place(event), f"the tag {event.tag} is not allowed in a plan; write the value without it")


def _scalar(event: yaml.ScalarEvent) -> Any:
    text = str(event.value)
    if event.tag is not None or not event.implicit[0]:
        return text
    for pattern, meaning in _MEANINGS:
        if pattern.fullmatch(text):
            try:
                return meaning(text)
            except ValueError:
                raise _refusal(_place(event), "this number has too many digits") from None
    return text


def _place(event: Any) -> Place:
    return event.start_mark.line + 1, event.start_mark.column + 1


def _place_in(text: str, position: int) -> Place:
    before = text[:position]
    return before.count("\n") + 1, position - (before.rfind("\n") + 1) + 1


def _refusal(place: Place, message: str) -> PlanError:
    return PlanError([(*place, "", message)])
