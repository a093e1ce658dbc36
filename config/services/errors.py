"""What can go wrong when the local services start; the text is what a person reads."""


class ServiceError(Exception):
    """A service cannot start or stay up. The text says what happened and what to do."""
