"""A durable PostgreSQL of a benchmark's own, and this program's settings in it."""

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def server_of_its_own() -> Iterator[tuple[Any, Path]]:
    from config.services.ports import free_port
    from config.services.postgres import Postgres

    folder = Path(tempfile.mkdtemp(prefix="gonogo-bench-"))
    folder.chmod(0o711)
    server = Postgres(folder / "postgres", free_port(), "benchmark", {})
    server.initialise()
    process = server.start(subprocess.DEVNULL)
    try:
        server.wait(process)
        server.ensure_role_and_database("gonogo", "benchmark")
        os.environ |= {
            "GONOGO_HOME": str(folder / "home"),
            "DATABASE_URL": server.url("gonogo", user="gonogo", password="benchmark"),
            "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
            "STATIC_MANIFEST": "false",
            "LOG_LEVEL": "ERROR",
            "DJANGO_SETTINGS_MODULE": "config.settings",
        }
        yield server, folder
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)
        shutil.rmtree(folder, ignore_errors=True)
