"""The folder which keeps everything the local services write, and the lock that makes them single."""

import errno
import fcntl
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from config import env
from config.services.errors import ServiceError

BASE_DIR = Path(__file__).resolve().parent.parent.parent
LEAST_FREE_MIB = 300
FOLDERS = ("keys", "logs", "mail", "redis", "spool", "static", "storage", "work")


def default_home() -> Path:
    return env.path("GONOGO_HOME", BASE_DIR / ".gonogo")


@dataclass
class Home:
    """Paths below GONOGO_HOME."""

    root: Path = field(default_factory=default_home)
    _lock: int = -1

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def postgres(self) -> Path:
        return self.root / "postgres"

    @property
    def redis(self) -> Path:
        return self.root / "redis"

    @property
    def addresses(self) -> Path:
        return self.root / "addresses.json"

    @property
    def status(self) -> Path:
        return self.root / "status.json"

    @property
    def prepared(self) -> Path:
        return self.root / "prepared.json"

    @property
    def passwords(self) -> Path:
        return self.root / "passwords.json"

    def prepare(self) -> None:
        """Make the folders. For root, others may pass through the topmost one, so that PostgreSQL's user can."""
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.root.chmod(0o711 if os.geteuid() == 0 else 0o700)
            for name in FOLDERS:
                (self.root / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise ServiceError(
                f"{self.root} cannot be written: {error.strerror or error}. Set GONOGO_HOME to a folder that can."
            ) from error

    def free_mib(self) -> int:
        return shutil.disk_usage(self.root).free // 1024**2

    def check_space(self) -> None:
        least = env.integer("GONOGO_LEAST_FREE_MIB", LEAST_FREE_MIB, least=0)
        free = self.free_mib()
        if free < least:
            raise ServiceError(
                f"Only {free} MiB are free where {self.root} stands, and at least {least} MiB are needed. "
                "Nothing was started. Free some space, or set GONOGO_HOME to a folder on a larger disk."
            )

    def lock(self) -> None:
        """Hold this folder for the life of this process and of those it starts with the same descriptor."""
        self._lock = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            if error.errno not in {errno.EWOULDBLOCK, errno.EAGAIN}:
                raise
            raise ServiceError(self.already_running()) from None

    def is_locked(self) -> bool:
        """Whether services run from this folder now."""
        try:
            descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
        finally:
            os.close(descriptor)
        return False

    def already_running(self) -> str:
        facts = self.read(self.status)
        where = f" at {facts['url']}" if facts.get("url") else ""
        process = f" (process {facts['pid']})" if facts.get("pid") else ""
        return (
            f"Go/No-Go is already running from {self.root}{where}{process}. "
            "Use that one, or stop it with `make down` first."
        )

    def secret(self, name: str) -> str:
        """Return a random password that is made once and kept in the keys folder."""
        return env.secret(name, self.root / "keys", lambda: token_urlsafe(24), may_make=True)

    @staticmethod
    def read(path: Path) -> dict[str, Any]:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @staticmethod
    def write(path: Path, facts: Mapping[str, Any]) -> None:
        """Replace a JSON file in one step, readable by its owner only."""
        draft = path.with_name(f".{path.name}.draft")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            json.dump(facts, handle, indent=2, default=str)
        draft.replace(path)
