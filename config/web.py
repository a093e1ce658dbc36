"""What gunicorn does with its processes; its command names this file."""

import signal
from typing import Any

from config.services.identity import end_with_parent

#: Nobody's word counts for where a request comes from: uvicorn would take that of every program on this machine. With
#: TRUST_PROXY the program reads it itself, the last address only.
forwarded_allow_ips = ""


def post_fork(server: Any, worker: Any) -> None:
    """Let a process end with its master: a killed master's processes would hold the port of the next one."""
    end_with_parent(server.pid, signal.SIGTERM)
