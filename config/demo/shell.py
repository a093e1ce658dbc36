"""What a child of the demonstration may see, and how its paths are told."""

import os
from pathlib import Path

from config.services.home import BASE_DIR


def child_environment(**more: str) -> dict[str, str]:
    """What the preparation of an example needs, and nothing of the program's own secrets."""
    kept = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    return {name: value for name, value in os.environ.items() if name in kept or name.startswith("PIP_")} | more


def relative(path: Path) -> str:
    return str(path.relative_to(BASE_DIR)) if path.is_relative_to(BASE_DIR) else str(path)
