"""What gunicorn does with its processes; its command names this file."""

import signal
from typing import Any

from config.services.identity import end_with_parent


def post_fork(server: Any, worker: Any) -> None:
    """Let a process end with its master: a killed master's processes would hold the port of the next one."""
    end_with_parent(server.pid, signal.SIGTERM)
