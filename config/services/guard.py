"""The process in front: it starts the supervisor and, should that be killed, ends whoever it left behind.

The supervisor ends when the guard is killed, and the guard adopts everybody when the supervisor is killed. So one
`kill -9` of either leaves no process behind.
"""

import os
import signal
import traceback
from collections.abc import Callable
from types import FrameType

from config.services.identity import adopt_orphans, end_with_parent
from config.services.sweep import sweep_descendants

KILLED_STATUS = 70


def guarded(supervise: Callable[[], int]) -> int:
    """Run `supervise` in a child process and return its exit status."""
    adopt_orphans()
    guard = os.getpid()
    supervisor = os.fork()
    if supervisor == 0:
        status = KILLED_STATUS
        try:
            # Ctrl-C reaches the guard, which passes it on once.
            os.setpgid(0, 0)
            end_with_parent(guard, signal.SIGTERM)
            adopt_orphans()
            status = supervise()
        except Exception:  # noqa: BLE001 - nobody above this frame would show it
            traceback.print_exc()
        finally:
            os._exit(status)

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        try:
            os.kill(supervisor, signal.SIGTERM)
        except ProcessLookupError:
            return

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, pass_on)
    _pid, ended = os.waitpid(supervisor, 0)
    left = sweep_descendants(seconds=5.0)
    if os.WIFEXITED(ended):
        return os.WEXITSTATUS(ended)
    print(f"The supervisor was killed by {signal.Signals(os.WTERMSIG(ended)).name}; {left} processes were ended.")
    return KILLED_STATUS
