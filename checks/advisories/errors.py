"""What an import of advisories is refused for."""

from releases.errors import DomainError


class AdvisoriesRefused(DomainError):
    """The advisories were not imported. What was there before still counts."""
