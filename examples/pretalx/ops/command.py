"""Become `python ARGUMENTS` of one release of pretalx.    python command.py RELEASE_FOLDER ARGUMENTS

pretalx reads its settings from PRETALX_CONFIG_FILE; variables win over the file. The database comes from DATABASE_URL,
so that the same command serves an environment and its clone in a rehearsal; static files belong to the release.
"""

import os
import sys
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit


def database_variables(address: str) -> dict[str, str]:
    """Translate `postgresql://user:password@host:port/name` into what pretalx reads."""
    parts = urlsplit(address)
    if parts.scheme not in ("postgresql", "postgres"):
        sys.exit("pretalx: DATABASE_URL should begin with postgresql://. Nothing was changed.")
    return {
        "PRETALX_DB_TYPE": "postgresql",
        "PRETALX_DB_NAME": unquote(parts.path.removeprefix("/")),
        "PRETALX_DB_USER": unquote(parts.username or ""),
        "PRETALX_DB_PASS": unquote(parts.password or ""),
        "PRETALX_DB_HOST": unquote(parts.hostname or parse_qs(parts.query).get("host", [""])[0]),
        "PRETALX_DB_PORT": str(parts.port or parse_qs(parts.query).get("port", [""])[0]),
    }


def main(release: Path, arguments: list[str]) -> None:
    arguments = [str(Path(each).resolve()) if each.endswith(".py") else each for each in arguments]
    python = release / "venv" / "bin" / "python"
    if not python.exists():
        sys.exit(f"pretalx: {release.name} is not installed here. Repeat the installation.")
    environment = os.environ | database_variables(os.environ["DATABASE_URL"])
    environment["PRETALX_FILESYSTEM_STATIC"] = str(release / "static")
    os.chdir(release)
    os.execve(python, [str(python), *arguments], environment)  # noqa: S606 - a list, no shell


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
