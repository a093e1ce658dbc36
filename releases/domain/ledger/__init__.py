"""The ledger: append-only, sealed at commit, checkpointed outside the database, verifiable by anybody.

`append` is all that most of the program needs:

    with transaction.atomic():
        ...
        ledger.append(action="release.approved", actor=user, subject=release, document={"before": ..., "after": ...})
"""

from releases.domain.ledger.bundles import bundle
from releases.domain.ledger.checkpoints import checkpoint, public_key_text
from releases.domain.ledger.entries import append, seal_now
from releases.domain.ledger.verification import advance_verification, start_verification, verify

__all__ = [
    "advance_verification",
    "append",
    "bundle",
    "checkpoint",
    "public_key_text",
    "seal_now",
    "start_verification",
    "verify",
]
