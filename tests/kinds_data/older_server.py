"""A throwaway server of an older PostgreSQL, where one is installed beside ours: ``/usr/lib/postgresql/<major>``."""

import os
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from checks.tools.postgres import Address
from config.services.identity import Identity, before_exec, server_identity
from config.services.ports import free_port
from config.services.postgres import SETTINGS, THROWAWAY, Postgres
from tests.harness import remove

_FOLDERS = Path(os.environ.get("GONOGO_OLDER_POSTGRES", "/usr/lib/postgresql"))


def programs() -> Path | None:
    """The folder of the newest older PostgreSQL from 13 to 17, None where there is none."""
    majors = [int(folder.name) for folder in _FOLDERS.glob("*") if folder.name.isdigit()]
    fitting = [number for number in majors if 13 <= number <= 17]
    return _FOLDERS / str(max(fitting)) / "bin" if fitting else None


@dataclass
class Older(Postgres):
    """The same server from other programs, which know fewer words."""

    programs: Path

    @cached_property
    def identity(self) -> Identity:
        return server_identity(self.programs / "postgres", self.data)

    def command(self) -> list[str]:
        settings = {**SETTINGS, **self.extra, "port": str(self.port)}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(self.programs / "postgres"), "-D", str(self.data), *arguments]

    def _initdb(self) -> None:
        password_file = self.data.with_name("password")
        password_file.write_text(self.password)
        self.identity.own(password_file)
        command = [
            str(self.programs / "initdb"), f"--pgdata={self.data}", "--username=postgres", f"--pwfile={password_file}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync",
        ]  # fmt: skip
        prepare = before_exec(self.identity, signal.SIGKILL)
        subprocess.run(command, preexec_fn=prepare, env=self.environment(), check=True, capture_output=True)


@contextmanager
def running(programs: Path) -> Iterator[Address]:
    """The address of its superuser."""
    folder = Path(tempfile.mkdtemp(prefix="gonogo-older-"))
    folder.chmod(0o711)
    server = Older(folder / "data", free_port(), "only-for-tests", dict(THROWAWAY), programs)
    try:
        server.initialise()
        process = server.start(subprocess.DEVNULL)
        try:
            server.wait(process)
            yield Address.parse(server.url())
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(10)
    finally:
        remove(folder)
