"""Runs the tools: their output is kept whole to be read, and their exit status is told, not believed."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from checks.kinds.base import Completed, RunContext
from checks.tools.auditing.looking import NotSeen

#: The command's stderr joins its stdout, and its exit status is the last line. The command itself comes as arguments.
_JOINED: Final = ('"$@" 2>&1; printf "\\ngonogo-exit %s\\n" "$?"',)
_EXIT: Final = re.compile(r"\ngonogo-exit (\d+)\n\Z")


@dataclass(frozen=True)
class Printed:
    """All that a command printed, and how it ended."""

    text: str
    returncode: int
    seconds: float


def printed_by(
    context: RunContext, argv: Sequence[str], *, timeout: float, variables: Mapping[str, str] | None = None
) -> Printed:
    """Run a command to its end. CheckError when it takes too long; NotSeen when it cannot be found."""
    done = context.capture(["/bin/sh", "-c", *_JOINED, "sh", *argv], timeout=timeout, variables=variables)
    ended = _EXIT.search(done.output)
    if ended is None:
        raise NotSeen(f"{argv[0]} was ended before it was done.", remedy="See the log; run this again.")
    text, code = done.output[: ended.start()], int(ended[1])
    for line in text.splitlines()[-200:]:
        context.note(line)
    if code in (126, 127):
        raise NotSeen(f"{argv[0]} cannot be run: {text.strip()[-200:]}", remedy="Is it installed on this worker?")
    return Printed(text, code, done.seconds)


MAX_REPORT_BYTES: Final = 100_000_000


def read_json(report: Path, tool: str, done: Completed) -> Any:
    """A report that a tool wrote. NotSeen when it ran out of time, wrote none, or one that is not whole."""
    if done.timed_out:
        raise NotSeen(
            f"{tool} was ended after {done.seconds:.0f} s.", remedy="Give it more time in the plan (timeout)."
        )
    if not report.exists():
        raise NotSeen(
            f"{tool} ended with {done.returncode} and wrote no report.", remedy="The log says what it printed."
        )
    if report.stat().st_size > MAX_REPORT_BYTES:
        raise NotSeen(f"{tool}'s report is larger than {MAX_REPORT_BYTES:,} bytes.")
    return parsed(report.read_bytes(), tool)


def parsed(report: bytes | str, tool: str) -> Any:
    """JSON that a tool printed or wrote. NotSeen when it is not whole."""
    try:
        return json.loads(report)
    except (ValueError, RecursionError) as error:
        raise NotSeen(
            f"{tool}'s report is not whole: {error}.", remedy="Run this again; the log may say more."
        ) from error
