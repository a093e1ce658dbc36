"""Where alerts go, each channel by a name that holds no secret, and the one place that really sends."""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

import apprise
from django.conf import settings
from django.core.mail import EmailMessage

from releases.domain.environment import secret_value
from releases.errors import DomainError
from releases.models import Application

logger = logging.getLogger(__name__)

_SHORTEST_MASKED: Final = 4
MAX_ERROR: Final = 500


class NotDeliveredError(Exception):
    """The channel did not take the message. The text says why, without any secret of the channel."""


@dataclass(frozen=True)
class Channel:
    """``secret``: an Apprise URL kept as a secret of the application. ``setting``: the nth of ALERT_URLS."""

    kind: Literal["secret", "setting", "email"]
    value: str

    @property
    def name(self) -> str:
        return f"{self.kind}:{self.value}"[:200]


def channels_of(declared: Mapping[str, Any]) -> list[Channel]:
    """The channels of a plan's alerts section, and those of the whole installation; none twice."""
    channels = [
        *(Channel("secret", name) for name in declared.get("channels", [])),
        *(Channel("email", address) for address in declared.get("emails", [])),
        *(Channel("setting", str(number)) for number, _ in enumerate(settings.ALERT_URLS, start=1)),
    ]
    return list(dict.fromkeys(channels))


def read_channel(name: str) -> Channel:
    kind, _, value = name.partition(":")
    if kind not in ("secret", "setting", "email"):
        raise NotDeliveredError(f"There is no kind of channel called {kind!r}.")
    return Channel(kind, value)  # type: ignore[arg-type]


def send(*, channel: Channel, application: Application, subject: str, body: str) -> None:
    """Send one message; NotDeliveredError where the channel refused it or could not be reached."""
    if channel.kind == "email":
        _send_mail(channel.value, subject, body)
    else:
        _send_apprise(_url(channel, application), subject, body)


def _send_mail(address: str, subject: str, body: str) -> None:
    try:
        sent = EmailMessage(f"[Go/No-Go] {' '.join(subject.split())}", body, to=[address]).send()
    except (OSError, ValueError) as error:  # SMTPException is an OSError
        raise NotDeliveredError(
            f"The mail server did not take it: {type(error).__name__}: {error}"[:MAX_ERROR]
        ) from None
    if not sent:
        raise NotDeliveredError("The mail server took no message for this address.")


def _url(channel: Channel, application: Application) -> str:
    if channel.kind == "secret":
        try:
            return secret_value(application=application, name=channel.value)
        except DomainError as error:
            raise NotDeliveredError(error.message) from None
    try:
        return str(settings.ALERT_URLS[int(channel.value) - 1])
    except (ValueError, IndexError):
        raise NotDeliveredError("ALERT_URLS no longer has this channel.") from None


def _send_apprise(url: str, subject: str, body: str) -> None:
    sender = apprise.Apprise()
    if not sender.add(url):
        raise NotDeliveredError("The address of this channel is not one that Apprise knows. Set it again.")
    with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as captured:  # type: ignore[no-untyped-call]
        taken = sender.notify(title=subject, body=body)
        said = captured.getvalue().strip()
    if not taken:
        raise NotDeliveredError(without_secrets(said or "The channel did not take the message.", url)[:MAX_ERROR])


def without_secrets(text: str, url: str) -> str:
    """The text without any part of the channel's address: tokens stand in paths, queries and user names alike."""
    parts = urlsplit(url)
    found = {parts.username or "", parts.password or "", *parts.path.split("/")}
    # slack://TokenA/TokenB: without a dot or a port it is no machine's name.
    if "." not in parts.netloc and ":" not in parts.netloc:
        found.add(parts.hostname or "")
    found |= {value for _, value in parse_qsl(parts.query)}
    found |= {unquote(piece) for piece in found}
    for piece in sorted(filter(lambda piece: len(piece) >= _SHORTEST_MASKED, found), key=len, reverse=True):
        text = re.sub(re.escape(piece), "••••", text, flags=re.IGNORECASE)
    return text
