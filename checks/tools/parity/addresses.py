"""Addresses as they may be compared and shown: never with a user, a password or a query in them."""

import re
from typing import Final

#: A user, and perhaps a password, before the host.
_USER: Final = re.compile(r"//[^/\s]*@")
#: The same with a slash in the password, which no address may have and people write all the same. A port is none.
_USER_WITH_SLASH: Final = re.compile(r"//[^/\s:@]*:(?!\d+(?:[/?#\s]|$))\S*@")
_ANYTHING: Final = re.compile(r"//\S*@")
_QUERY: Final = re.compile(r"\?[^#\s]*")
_REPOSITORY: Final = re.compile(r"(?:git|hg|svn|bzr)\+", re.IGNORECASE)
_ADDRESS: Final = re.compile(r"[a-z0-9+.-]+:|[./~]", re.IGNORECASE)
_COMMIT: Final = re.compile(r"@(?:[0-9a-f]{7,64}|\d+)$", re.IGNORECASE)
_CHECKSUM: Final = re.compile(r"(?:^|&)(?:sha256|sha384|sha512)=[0-9a-f]+", re.IGNORECASE)


def plain(address: str) -> str:
    """What is compared: all of an address but user, password and query. ValueError where it cannot be taken apart."""
    if "//" not in address:
        return address
    bare, users = _USER.subn("//", address, count=1)
    if not users and _USER_WITH_SLASH.search(bare):
        raise ValueError("the address cannot be read")
    return _QUERY.sub("", bare)


def names_content(package: str) -> bool:
    """Whether this says what is installed: a version, or an address with a commit or a checksum in it.

    A path, a branch and a file of which nobody knows the checksum hold something else on each machine, or tomorrow. A
    version that could not be found out when the package was made (0+unknown) is none.
    """
    if package.casefold().endswith("unknown"):
        return False
    address = package.removeprefix("editable ").removeprefix("@ ")
    if address == package and not _ADDRESS.match(address):
        return True
    place, _, fragment = address.partition("#")
    return bool(_COMMIT.search(place) if _REPOSITORY.match(place) else _CHECKSUM.search(fragment))


def masked(text: str) -> str:
    """A text for people, its addresses without credentials: //…@ stands for them."""
    return _USER.sub("//…@", _USER_WITH_SLASH.sub("//…@", text))


def masked_line(line: str) -> str:
    """A line that nobody could read: whatever might be a credential in it is left out, rather too much of it."""
    return _QUERY.sub("?…", _ANYTHING.sub("//…@", line))
