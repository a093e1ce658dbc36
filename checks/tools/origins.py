"""Where an http(s) address leads: scheme, host and port."""

from typing import Final
from urllib.parse import SplitResult, urlsplit

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port of an http(s) address. ValueError where it has none or carries a user or password."""
    parts: SplitResult = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise ValueError(f"{url!r} is not an http or https address")
    if parts.username is not None or parts.password is not None:
        raise ValueError("an address must not contain a user name or password")
    return parts.scheme, parts.hostname.lower().rstrip("."), parts.port or _DEFAULT_PORTS[parts.scheme]


def same_place(first: str, second: str) -> bool:
    """Whether two addresses are of one server: same host and port, or http grown to https on the usual ports."""
    one, two = origin(first), origin(second)
    return one == two or (one[1] == two[1] and one[0::2] == ("http", 80) and two[0::2] == ("https", 443))


def same_address(first: str, second: str) -> bool:
    """Whether two ways to write an address mean one, also where one of them leads to the other by growing to https."""
    try:
        met = same_place(first, second) or same_place(second, first)
    except ValueError:
        return False  # one of them is no address, so nothing answers there
    return met and urlsplit(first).path.rstrip("/") == urlsplit(second).path.rstrip("/")
