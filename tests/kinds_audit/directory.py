"""A directory of three people that is asked by filters of LDAP (RFC 4515), as far as ``&``, ``|``, ``!``, ``=`` and
``*`` go."""

import re
from collections.abc import Callable

PEOPLE = [
    {"cn": "Ann", "objectClass": "person"}, {"cn": "Bo", "objectClass": "person"},
    {"cn": "Kettle", "objectClass": "thing"},
]  # fmt: skip
Test = Callable[[dict[str, str]], bool]


class BadFilter(ValueError):
    """The text is no filter."""


def escaped(value: str) -> str:
    """A value as it may stand in a filter."""
    return re.sub(r"[\\*()\x00]", lambda found: f"\\{ord(found[0]):02x}", value)


def people_of(text: str) -> list[str]:
    """The names of those whom a filter finds; what follows a zero byte is not read, as libraries in C do."""
    test, rest = _filter(text.partition("\x00")[0])
    if rest:
        raise BadFilter(f"{rest!r} follows the filter")
    return [person["cn"] for person in PEOPLE if test(person)]


def _filter(text: str) -> tuple[Test, str]:
    if not text.startswith("("):
        raise BadFilter("a filter begins with (")
    if text[1:2] in ("&", "|", "!"):
        return _combined(text[1], text[2:])
    found = re.match(r"\(([A-Za-z]+)=([^()\x00]*)\)", text)
    if found is None or "**" in found[2]:
        raise BadFilter(f"no comparison stands in {text[:40]!r}")
    name, wanted = found[1], found[2]
    pattern = ".*".join(re.escape(_unescaped(part)) for part in wanted.split("*"))
    return lambda person: re.fullmatch(pattern, person.get(name, "")) is not None, text[found.end() :]


def _combined(sign: str, text: str) -> tuple[Test, str]:
    tests = []
    while text.startswith("("):
        test, text = _filter(text)
        tests.append(test)
    if not text.startswith(")"):
        raise BadFilter("a filter ends with )")
    judged = {"&": all, "|": any, "!": lambda answers: not any(answers)}[sign]
    return lambda person: judged([test(person) for test in tests]), text[1:]


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-9a-fA-F]{2})", lambda found: chr(int(found[1], 16)), text)
