"""Prints a new set of keys and passwords as lines for .env.

Usage: python config/services/keys.py > .env
"""

from base64 import b64encode, urlsafe_b64encode
from secrets import token_bytes, token_hex, token_urlsafe


def new_keys() -> dict[str, str]:
    """Return every secret that docker-compose.yml asks for."""
    return {
        "SECRET_KEY": token_urlsafe(50),
        "FIELD_ENCRYPTION_KEYS": urlsafe_b64encode(token_bytes(32)).decode(),
        "BACKUP_KEYS": "k1:" + b64encode(token_bytes(32)).decode(),
        "LEDGER_SIGNING_KEY": b64encode(token_bytes(32)).decode(),
        "POSTGRES_PASSWORD": token_hex(24),
        "REDIS_PASSWORD": token_hex(24),
        "STORAGE_PASSWORD": token_hex(24),
    }


if __name__ == "__main__":
    for name, value in new_keys().items():
        print(f"{name}={value}")
