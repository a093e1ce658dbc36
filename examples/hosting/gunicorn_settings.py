"""What gunicorn is told on this host, beside the socket that it inherits."""

import os
from pathlib import Path
from typing import Any

workers = int(os.environ.get("WEB_WORKERS", "2"))
threads = int(os.environ.get("WEB_THREADS", "4"))
graceful_timeout = 20
timeout = 60
accesslog = None
control_socket_disable = True


def post_worker_init(worker: Any) -> None:
    """Tell the host that a worker has loaded the application and takes requests."""
    Path(os.environ["HOSTING_READY_FILE"]).touch()
