"""An expression as PostgreSQL prints it, in one form before and after a dump and a restore.

PostgreSQL reads its own printing back as the same expression, but prints it otherwise afterwards in two places:

* ``varchar IN (...)`` is ``(ARRAY[...])::text[]`` at first; read back, the cast goes to each element;
* ``x BETWEEN 1 AND 2 AND y`` is ``((x >= 1) AND (x <= 2)) AND y``; read back, an AND in an AND is one AND.

Both are written as they are printed afterwards. Nothing else is touched but spaces between words: each bracket, each
cast and each character of a literal counts.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""(?P<space>\s*)(?P<text>
        [eE]'(?:[^'\\]|\\.|'')*(?:'|$) | '(?:[^']|'')*(?:'|$) | "(?:[^"]|"")*(?:"|$)
      | \w+ | :: | [()\[\],] | \S
    )""",
    re.VERBOSE | re.DOTALL,
)
_CLOSING = {"(": ")", "[": "]"}


@dataclass(frozen=True)
class _Word:
    """``space``: whether one stands before it."""

    text: str
    space: bool


@dataclass(frozen=True)
class _Group:
    """What stands between two brackets."""

    opening: str
    items: "tuple[_Item, ...]"
    space: bool


_Item = _Word | _Group


def settled(expression: str) -> str:
    """A printed expression, or a definition that holds some, as a restore leaves it, on one line."""
    words = [_Word(found["text"], bool(found["space"])) for found in _TOKEN.finditer(expression)]
    items, after = _grouped(words, 0, "")
    if after != len(words):  # brackets that do not match are no expression of PostgreSQL's
        return _printed(words)
    return _printed(_settled(items))


def _grouped(words: Sequence[_Word], place: int, closing: str) -> tuple[list[_Item], int]:
    """The items up to a closing bracket, and the place after it; place -1 where it is missing."""
    items: list[_Item] = []
    while place < len(words):
        word = words[place]
        place += 1
        if word.text in _CLOSING:
            inside, place = _grouped(words, place, _CLOSING[word.text])
            if place < 0:
                return items, -1
            items.append(_Group(word.text, tuple(inside), word.space))
        elif word.text in (")", "]"):
            return items, place if word.text == closing else -1
        else:
            items.append(word)
    return items, -1 if closing else place


def _printed(items: Sequence[_Item]) -> str:
    parts = []
    for item in items:
        text = item.text if isinstance(item, _Word) else f"{item.opening}{_printed(item.items)}{_CLOSING[item.opening]}"
        parts.append(f" {text}" if item.space else text)
    return "".join(parts).strip()


def _settled(items: Sequence[_Item]) -> list[_Item]:
    """Innermost first, so that what a rule makes is seen by the rules around it."""
    inner = [
        _Group(item.opening, tuple(_settled(item.items)), item.space) if isinstance(item, _Group) else item
        for item in items
    ]
    return _flattened(_casts_of_elements(inner))


def _casts_of_elements(items: list[_Item]) -> list[_Item]:
    """``(ARRAY[a, b])::text[]`` -> ``ARRAY[(a)::text, (b)::text]``."""
    settled: list[_Item] = []
    place = 0
    while place < len(items):
        item = items[place]
        elements = _elements_of(item)
        kind = _element_type(items[place + 1 :]) if elements is not None else None
        if elements is None or kind is None:
            settled.append(item)
            place += 1
            continue
        cast: list[_Item] = []
        for number, element in enumerate(elements):
            if number:
                cast.append(_Word(",", False))
            bare = (_without_space(element[0]), *element[1:])
            cast += [_Group("(", bare, bool(number)), _Word("::", False), *kind]
        settled += [_Word("ARRAY", item.space), _Group("[", tuple(cast), False)]
        place += 1 + 1 + len(kind) + 1  # the group, the two colons, the type and its brackets
    return settled


def _elements_of(item: _Item) -> list[tuple[_Item, ...]] | None:
    """The elements of ``(ARRAY[...])``; None for anything else, and where there are none."""
    if not isinstance(item, _Group) or item.opening != "(" or len(item.items) != 2:
        return None
    word, group = item.items
    if not isinstance(word, _Word) or word.text != "ARRAY" or not isinstance(group, _Group) or group.opening != "[":
        return None
    elements = _split(group.items, ",")
    return elements if all(elements) else None


def _element_type(items: Sequence[_Item]) -> list[_Item] | None:
    """What follows is ``::text[]`` -> the words of ``text``; None where no cast to an array follows."""
    if not items or not isinstance(items[0], _Word) or items[0].text != "::":
        return None
    kind: list[_Item] = []
    for item in items[1:]:
        if isinstance(item, _Group) and item.opening == "[":
            return kind if kind and not item.items else None
        if isinstance(item, _Word) and not re.fullmatch(r'\w+|".*"|\.', item.text, re.DOTALL):
            return None
        kind.append(item)
    return None


def _flattened(items: list[_Item]) -> list[_Item]:
    """``(a AND b) AND c`` -> ``a AND b AND c``, and the same with OR; both mean the same in any grouping."""
    words = {item.text for item in items if isinstance(item, _Word)}
    for word in ("AND", "OR"):
        if word not in words or {"AND", "OR"} <= words or "BETWEEN" in words:
            continue
        flat: list[_Item] = []
        for number, operand in enumerate(_split(items, word)):
            if number:
                flat.append(_Word(word, True))
            flat += _opened(operand, word)
        return flat
    return items


def _opened(operand: tuple[_Item, ...], word: str) -> tuple[_Item, ...]:
    """What is inside of the brackets of an operand that is nothing but operands of the same word."""
    if len(operand) != 1 or not isinstance(operand[0], _Group) or operand[0].opening != "(":
        return operand
    group = operand[0]
    parts = _split(group.items, word)
    whole = all(len(part) == 1 or (len(part) == 2 and isinstance(part[1], _Group)) for part in parts)
    if len(parts) < 2 or not whole:
        return operand
    return (_with_space(group.items[0], group.space), *group.items[1:])


def _split(items: Sequence[_Item], word: str) -> list[tuple[_Item, ...]]:
    parts: list[list[_Item]] = [[]]
    for item in items:
        if isinstance(item, _Word) and item.text == word:
            parts.append([])
        else:
            parts[-1].append(item)
    return [tuple(part) for part in parts]


def _with_space(item: _Item, space: bool) -> _Item:
    return _Word(item.text, space) if isinstance(item, _Word) else _Group(item.opening, item.items, space)


def _without_space(item: _Item) -> _Item:
    return _with_space(item, False)
