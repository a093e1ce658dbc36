"""News for an application's administrators, from parts of the program that know no channels.

``monitoring`` registers a teller when Django is ready; without one the news stands in the log and the ledger only.
"""

import logging
from collections.abc import Callable

from releases.models import Application

logger = logging.getLogger(__name__)

#: Gets the application, one line, and the whole text. Called in the caller's transaction.
Teller = Callable[[Application, str, str], None]
_tellers: list[Teller] = []


def register_teller(teller: Teller) -> None:
    """Let another app bring news to people."""
    if teller not in _tellers:
        _tellers.append(teller)


def tell(*, application: Application, subject: str, body: str) -> None:
    """Tell every administrator's channel. Delivery is the tellers' own matter and may come later."""
    logger.warning("notice", extra={"application": application.slug, "subject": subject})
    for teller in _tellers:
        teller(application, subject, body)
