"""A new, empty and durable PostgreSQL cluster in a folder, for as long as this process lives.

Usage: python -m config.services.cluster FOLDER

The superuser's password stands in the variable CLUSTER_PASSWORD. When the server answers, one line comes: `ready PORT`.
TERM or INT ends both.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import NoReturn

from config.services.errors import ServiceError
from config.services.ports import free_port
from config.services.postgres import Postgres

END_WITHIN_SECONDS = 20.0


def main(folder: Path) -> int:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    server = Postgres(folder, free_port(), os.environ["CLUSTER_PASSWORD"], {})
    try:
        server.initialise()
        process = server.start(sys.stderr.buffer)
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    try:
        server.wait(process)
        print(f"ready {server.port}", flush=True)
        return process.wait()
    except ServiceError as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(END_WITHIN_SECONDS)


def _leave(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(0)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
