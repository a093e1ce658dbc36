"""The id of the request being served, for log lines and ledger entries."""

from contextvars import ContextVar, Token

_current: ContextVar[str] = ContextVar("request_id", default="")


def current() -> str:
    """Return the id of the request being served, or an empty text outside of one."""
    return _current.get()


def bind(value: str) -> Token[str]:
    """Make `value` the current id; hand the token to `release` afterwards."""
    return _current.set(value)


def release(token: Token[str]) -> None:
    _current.reset(token)
