"""Passwords in source that a tool has found: hidden, and yet the same value stays the same finding in every scan.

What is shown instead is made of the value with this installation's key, so it tells nothing of the value, and another
value is another finding: whoever accepted a made-up password has not accepted the real one that takes its place.
"""

import hashlib
import hmac
import re
from typing import Final

from django.conf import settings

#: A quoted text, or the beginning of one that goes on in the next line.
_QUOTED: Final = re.compile(r"(?P<quote>\"\"\"|'''|\"|')(?P<text>(?:\\.|(?!(?P=quote)).)*)(?P<end>(?P=quote)|$)")
_SHOWN: Final = 12


def keyed(value: str) -> str:
    """32 hexadecimal digits that stand for a value, and that nobody can compute without this installation's key."""
    key = hashlib.sha256(f"audit-secret:{settings.SECRET_KEY}".encode()).digest()
    return hmac.new(key, value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]


def hidden(value: str) -> str:
    return f"hidden-{keyed(value)[:_SHOWN]}" if value else ""


def without_texts(code: str) -> str:
    """A line of source with every quoted text hidden: which of them is the password is not always to be seen."""
    return _QUOTED.sub(lambda found: f"{found['quote']}{hidden(found['text'])}{found['end']}", code)
