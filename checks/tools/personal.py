"""What looks like personal data: by a column's name, its type, and the patterns of some of its values.

Pure functions. Values come in and only patterns and shapes go out: nothing that leaves this module tells a value.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from checks.tools.column_facts import Column
from checks.tools.given_names import GIVEN_NAMES
from checks.tools.inventory import Category
from checks.tools.personal_names import by_name, is_thing

MAX_SHAPE = 40


@dataclass
class Finding:
    """One column that looks personal. ``reasons`` are sentences; ``shape`` is a value with its letters made equal."""

    column: Column
    category: Category
    reasons: list[str] = field(default_factory=list)
    shape: str = ""


_LOCAL = r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
_EMAIL = re.compile(rf"{_LOCAL}@(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z]{{2,}}")
_PHONE = re.compile(r"(?:\+|00|\(?0)[0-9(][0-9 ()./-]{5,18}[0-9]")
_DATE_LIKE = re.compile(r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}(?:[T ].*)?")
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)")
_IPV6 = re.compile(r"(?=(?:.*:){2})(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?:%\w+)?")
# It stands alone: a piece of a random code may well keep the rules of an account number.
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?(?![A-Za-z0-9])")
_CARD = re.compile(r"\d(?:[ -]?\d){12,18}")
_HASHED = re.compile(r"(?:pbkdf2_|argon2|bcrypt|scrypt|\$argon2|\$2[abxy]?\$|\$[156y]\$|\{S?SHA|sha1\$|md5\$|\$pbkdf2)")
_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]*")
_KEY = re.compile(r"(?:sk|pk|rk|ghp|gho|xox[abp]|AKIA|AIza|glpat)[-_]?[A-Za-z0-9_-]{16,}")
_PARTICLE = r"(?: (?:van|von|de|der|den|da|di|la|le|bin|al|el|[^\W\d_]\.))*"
_NAME = re.compile(rf"[^\W\d_][^\W\d_'’.-]*{_PARTICLE}(?:[ -][^\W\d_][^\W\d_'’-]+){{1,3}}")


def _has_email(text: str) -> bool:
    # Most texts have no @ at all, and looking for the pattern in a long word is slow.
    return "@" in text and bool(_EMAIL.search(text))


def _is_phone(value: str) -> bool:
    digits = sum(character.isdigit() for character in value)
    return 8 <= digits <= 15 and bool(_PHONE.fullmatch(value)) and not _DATE_LIKE.fullmatch(value)


def _is_ip(value: str) -> bool:
    return bool(_IPV4.fullmatch(value) or (value.count(":") >= 2 and _IPV6.fullmatch(value) and not _is_time(value)))


def _is_time(value: str) -> bool:
    return bool(re.fullmatch(r"\d{1,2}:\d{2}:\d{2}", value))


def _is_iban(value: str) -> bool:
    if not _IBAN.fullmatch(value):
        return False
    plain = value.replace(" ", "")
    number = "".join(str(int(character, 36)) for character in plain[4:] + plain[:4])
    return 15 <= len(plain) <= 34 and int(number) % 97 == 1


def _holds_iban(text: str) -> bool:
    """One stands among other words; a word in capitals after it may look like its last part."""
    for found in _IBAN.finditer(text):
        parts = found.group().split(" ")
        if any(_is_iban(" ".join(parts[:length])) for length in range(len(parts), 0, -1)):
            return True
    return False


def _is_card(value: str) -> bool:
    """A card's number: 13 to 19 digits with Luhn's check digit, from a range that card companies use."""
    if not _CARD.fullmatch(value):
        return False
    digits = [int(character) for character in value if character.isdigit()]
    if digits[0] not in (3, 4, 5, 6):
        return False
    doubled = [digit if place % 2 == 0 else sum(divmod(2 * digit, 10)) for place, digit in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def _is_person(value: str) -> bool:
    """Two to four capitalised words of which the first is a given name that many people have."""
    if len(value) > 60 or not _NAME.fullmatch(value):
        return False
    words = re.split(r"[ -]", value)
    return words[0].casefold() in GIVEN_NAMES and words[-1][:1].isupper()


def _is_secret(value: str) -> bool:
    return bool(_HASHED.match(value) or _JWT.fullmatch(value) or _KEY.fullmatch(value))


#: (category, words, test of a whole value, share of values that must fit: 0 means that one is enough)
_WHOLE: Final[Sequence[tuple[Category, str, Callable[[str], bool], float]]] = (
    (Category.CONTACT, "e-mail addresses", lambda value: bool(_EMAIL.fullmatch(value)), 0.0),
    (Category.FINANCIAL, "IBANs", _is_iban, 0.0),
    (Category.CREDENTIAL, "password hashes or tokens", _is_secret, 0.0),
    (Category.CONTACT, "telephone numbers", _is_phone, 0.3),
    (Category.ONLINE, "IP addresses", _is_ip, 0.3),
    (Category.FINANCIAL, "card numbers", _is_card, 0.3),
    (Category.IDENTITY, "names of people", _is_person, 0.3),
)


def look_at(column: Column, values: Iterable[Any]) -> Finding | None:
    """What the name, the type and the values of a column say together; None where nothing looks personal."""
    named = by_name(column.name, column.table)
    if named and not _can_be(column, *named):
        named = None
    reasons: list[tuple[Category, str]] = []
    if named:
        reasons.append((named[0], f"its name says {named[1]}"))
    if column.shape == "inet":
        reasons.append((Category.ONLINE, f"its type is {column.type}"))
    if column.type == "tsvector":
        if column.computed:  # the database makes it anew from columns that are looked at themselves
            return None
        reasons.append((Category.CONTENT, "its type is tsvector, a list of the words of other columns"))
    texts = [str(value) for value in values if value not in (None, "")]
    if column.shape in ("text", "array", "inet"):
        documents = [text for text in texts if text.startswith(("{", "["))]
        reasons += [*_said_by_texts(column, texts), *_said_by_documents(documents)]
    elif column.shape in ("json", "parts"):
        reasons += list(_said_by_documents(texts))
    if not reasons:
        return None
    example = next((text for text in texts if len(text) > 2), "") if column.shape not in ("json", "parts") else ""
    return Finding(column, reasons[0][0], [said for _, said in reasons], shape_of(example))


def _can_be(column: Column, category: Category, said: str) -> bool:
    """Whether a column of this type can hold what its name says."""
    if column.shape == "other":
        return False
    if column.shape in ("text", "array", "json", "parts"):
        return True
    if column.shape in ("date", "time"):
        return said in ("birth date", "trace of use")
    if column.shape == "number":
        # A foreign key called "speaker" or "photo" is a reference; numbers that tell something are these.
        return said in ("telephone", "place", "bank or tax", "number of a document", "birth date")
    return column.shape in ("bytes", "inet") and category is not Category.LOCATION


def _said_by_texts(column: Column, texts: Sequence[str]) -> Iterator[tuple[Category, str]]:
    if not texts:
        return
    thing = is_thing(column.name)
    for category, words, test, share in _WHOLE:
        if thing and share:
            continue
        hits = sum(test(text.strip()) for text in texts)
        # Where one hit is not enough, a single one of a few values settles nothing either: "Rose Garden Tour".
        if hits and hits >= share * len(texts) and (not share or hits >= min(2, len(texts))):
            yield category, f"{hits} of {len(texts)} looked-at values look like {words}"
            return
    inside = sum(_has_email(text) for text in texts)
    if inside:
        yield Category.CONTENT, f"{inside} of {len(texts)} looked-at texts hold e-mail addresses"
        return
    ibans = sum(_holds_iban(text) for text in texts)
    if ibans:
        yield Category.FINANCIAL, f"{ibans} of {len(texts)} looked-at texts hold IBANs"


def _said_by_documents(texts: Sequence[str]) -> Iterator[tuple[Category, str]]:
    """Keys that name personal data, and values that look like it, by path; each path once, the first eight."""
    found: dict[str, tuple[Category, str]] = {}
    values: dict[str, list[str]] = {}
    for text in texts:
        try:
            document = json.loads(text)
            leaves = list(_leaves(document))
            for key in _keys(document):
                if _is_phone(key) or _is_person(key):
                    found.setdefault("*", (Category.IDENTITY, "names or telephone numbers are keys of its documents"))
        except ValueError:  # cut, because it is too long to be looked at whole
            leaves = [("", text)] if _has_email(text) else []
        for path, value in leaves:
            if _has_email(path):
                found.setdefault("*", (Category.CONTACT, "e-mail addresses are keys of its documents"))
            elif value not in (None, "", True, False):
                values.setdefault(path, []).append(str(value))
    for path, seen in values.items():
        if (said := _said_by_path(path, seen)) is not None:
            found.setdefault(path, said)
    yield from list(found.values())[:8]


def _said_by_path(path: str, seen: Sequence[str]) -> tuple[Category, str] | None:
    named = by_name(path.rsplit(".", 1)[-1].replace("[]", ""))
    if named:
        return named[0], f"the key {told_path(path)} says {named[1]}"
    for category, words, test, share in _WHOLE:
        hits = sum(test(each.strip()) for each in seen)
        if hits and hits >= share * len(seen):
            return category, f"values at the key {told_path(path)} look like {words}"
    if any(_has_email(each) for each in seen):
        return Category.CONTENT, f"texts at the key {told_path(path)} hold e-mail addresses"
    return None


def told_path(path: str) -> str:
    """A path of keys for people; a key that is no plain word may be data itself and is shown as its shape."""
    parts = path.split(".")
    return ".".join(part if re.fullmatch(r"[a-z][A-Za-z_]{0,40}(\[\])*", part) else shape_of(part) for part in parts)


def _leaves(document: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(document, dict):
        for key, value in document.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(document, list):
        for value in document:
            yield from _leaves(value, f"{path}[]")
    else:
        yield path, document


def _keys(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        yield from document
    for value in document.values() if isinstance(document, dict) else document if isinstance(document, list) else ():
        yield from _keys(value)


def shape_of(value: str) -> str:
    """'Ann.Lee@example.org' -> 'Aaa.Aaa@aaaaaaa.aaa': letters and digits made equal, so that it tells no value."""
    letters = ("A" if character.isupper() else "a" if character.isalpha() else character for character in value)
    shape = "".join("9" if character.isdigit() else character for character in letters)
    shape = re.sub(r"[^Aa9 .,:;@+()/_$=-]", "·", shape)
    return shape if len(shape) <= MAX_SHAPE else f"{shape[:MAX_SHAPE]}…"
