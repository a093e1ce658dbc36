"""The folder of one environment on this machine, and the files by which its parts speak to each other.

APP_HOME/
  releases/<version>-<digest12>/   release.json; venv, static: links into the cache
  current -> releases/...          what runs
  previous -> releases/...         what ran before, for a rollback
  data/                            uploads and other files that outlive a release
  service.env                      the server's settings, KEY=VALUE, for its owner only; {RELEASE_DIR} is filled in
  tls/front.json                   the port at which TLS is in front of it, where it is; certificates beside it
  run/request.json                 what a deployment asks of the host
  run/state.json                   what the host answers
  log/server.log                   what the server prints
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIGEST_PREFIX = "sha256:"


class OpsError(Exception):
    """Something that a person has to mend; its text says what happened, what was kept and what to do."""


def need(name: str) -> str:
    """Return the environment variable `name`; refuse to go on when the plan does not give it."""
    value = os.environ.get(name, "")
    if not value:
        raise OpsError(f"The variable {name} is not set. Nothing was changed. Name it in the environment of the plan.")
    return value


def short_digest(digest: str) -> str:
    """Return the first twelve hexadecimal digits of a digest given with or without `sha256:` before it."""
    return digest.removeprefix(DIGEST_PREFIX)[:12]


def write_atomically(path: Path, text: str, mode: int = 0o644) -> None:
    """Replace `path` as a whole: a reader sees the old text or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    os.fchmod(descriptor, mode)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
    draft.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in `path`, or an empty one where the file does not exist."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    if not isinstance(content, dict):
        raise OpsError(f"{path} should hold one JSON object and does not. Delete it and repeat the step.")
    return content


@dataclass(frozen=True)
class Home:
    """Names the places inside one APP_HOME."""

    root: Path

    @property
    def current(self) -> Path:
        return self.root / "current"

    @property
    def previous(self) -> Path:
        return self.root / "previous"

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def settings(self) -> Path:
        return self.root / "service.env"

    @property
    def request(self) -> Path:
        return self.root / "run" / "request.json"

    @property
    def state(self) -> Path:
        return self.root / "run" / "state.json"

    @property
    def front(self) -> Path:
        return self.root / "tls" / "front.json"

    @property
    def certificate(self) -> Path:
        """The key and the certificate of the front."""
        return self.root / "tls" / "server.pem"

    @property
    def authority(self) -> Path:
        """Who signed the certificate."""
        return self.root / "tls" / "authority.pem"

    @property
    def log(self) -> Path:
        return self.root / "log" / "server.log"

    def release(self, version: str, digest: str) -> Path:
        return self.root / "releases" / f"{version}-{short_digest(digest)}"

    def target(self, link: Path) -> Path | None:
        """Return the release that `current` or `previous` points at, or None."""
        return link.resolve() if link.is_symlink() and link.exists() else None

    def point(self, link: Path, target: Path) -> None:
        """Make `link` point at `target` in one step, so that no reader finds it missing."""
        draft = link.with_name(f".{link.name}.{os.getpid()}")
        draft.unlink(missing_ok=True)
        draft.symlink_to(target.relative_to(self.root))
        draft.replace(link)

    def read_settings(self) -> dict[str, str]:
        """Return service.env as a mapping: KEY=VALUE lines, `#` begins a comment line, nothing is expanded."""
        lines = self.settings.read_text(encoding="utf-8").splitlines()
        pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
        return {key.strip(): value for key, value in pairs}

    def write_settings(self, settings: dict[str, str]) -> None:
        """Replace service.env; only its owner may read it, because it holds passwords."""
        text = "".join(f"{key}={value}\n" for key, value in sorted(settings.items()))
        write_atomically(self.settings, text, mode=0o600)
