"""The parts of the program, as commands. docker-compose.yml runs the same ones as services of their own."""

import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from signal import SIGTERM, Signals
from subprocess import DEVNULL, STDOUT, Popen
from typing import IO

from config import env
from config.services.home import BASE_DIR
from config.services.identity import before_exec, own_identity

Starter = Callable[[IO[bytes] | int], "Popen[bytes]"]


@dataclass(frozen=True)
class Part:
    """One long-running process.

    `start` starts it with its output going to the given descriptor; `ending` asks it to stop; a server is started
    before, and stopped after, every part that is none.
    """

    name: str
    start: Starter
    ending: Signals = SIGTERM
    is_server: bool = False
    answers: Callable[[], bool] | None = field(default=None, compare=False)


def python_part(name: str, arguments: list[str], variables: Mapping[str, str]) -> Part:
    """A part that is a Python process of this environment, in a session of its own, ending with the runner."""

    def start(output: IO[bytes] | int) -> "Popen[bytes]":
        return Popen(
            [sys.executable, *arguments],
            cwd=BASE_DIR,
            env={**os.environ, **variables},
            preexec_fn=before_exec(own_identity(), SIGTERM),
            stdin=DEVNULL,
            stdout=output,
            stderr=STDOUT,
            start_new_session=True,
        )

    return Part(name, start)


def web_arguments(host: str, port: int) -> list[str]:
    return [
        "-m", "gunicorn", "config.asgi:application",
        "--config", "python:config.web",
        "--worker-class", "uvicorn_worker.UvicornWorker",
        "--bind", f"{host}:{port}",
        "--workers", str(env.integer("WEB_CONCURRENCY", 2, least=1)),
        "--preload", "--graceful-timeout", "3", "--timeout", "120", "--no-control-socket",
    ]  # fmt: skip


def worker_arguments(queues: str = "default") -> list[str]:
    return [
        "-m", "celery", "--app", "config", "worker",
        "--queues", queues,
        "--pool", "prefork",
        "--concurrency", str(env.integer("WORKER_CONCURRENCY", 6, least=1)),
        "--loglevel", "INFO",
        "--without-gossip", "--without-mingle",
    ]  # fmt: skip


SCHEDULER_ARGUMENTS = ["-m", "celery", "--app", "config", "beat", "--loglevel", "INFO", "--pidfile", ""]
RELAY_ARGUMENTS = ["manage.py", "relay"]
PROBER_ARGUMENTS = ["manage.py", "prober"]


def program_parts(host: str, port: int, variables: Mapping[str, str]) -> list[Part]:
    """Return the parts of the program itself; the web server comes first."""
    pool = {"DATABASE_POOL_SIZE": os.environ.get("DATABASE_POOL_SIZE", "20")}
    return [
        python_part("web", web_arguments(host, port), {**variables, **pool}),
        python_part("worker", worker_arguments(), variables),
        python_part("relay", RELAY_ARGUMENTS, variables),
        python_part("scheduler", SCHEDULER_ARGUMENTS, variables),
        python_part("prober", PROBER_ARGUMENTS, variables),
    ]
