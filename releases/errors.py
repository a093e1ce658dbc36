"""What the domain refuses, each with a sentence a person can act on."""


class DomainError(Exception):
    """The request was refused. Nothing was changed."""

    def __init__(self, message: str | None = None, *, field: str | None = None) -> None:
        self.message = message or (self.__doc__ or "").strip()
        self.field = field
        super().__init__(self.message)


class NotAllowed(DomainError):
    """Your role does not allow this. Nothing was changed."""


class StateChanged(DomainError):
    """Somebody else changed this meanwhile. Nothing was changed; reload the page and look again."""


class GateClosed(DomainError):
    """The gate is closed. Nothing was changed."""


class StaleManifest(DomainError):
    """The evidence changed since you looked. Nothing was recorded; read what changed and vote again."""


class LedgerReadOnly(DomainError):
    """Ledger entries are added by releases.domain.ledger.append and never changed. Nothing was changed."""


class LedgerMisuse(DomainError):
    """The ledger was given something that it cannot hold. Nothing was written."""


class LedgerBroken(DomainError):
    """The ledger does not verify, so nothing was signed over it. Run `manage.py verify_ledger`; it names the entry."""


class LedgerUncheckable(DomainError):
    """The ledger could not be checked to the end, so there is no verdict. Mend the cause and verify again."""
