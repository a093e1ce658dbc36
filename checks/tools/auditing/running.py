"""Runs the tools: their output is kept whole to be read, and their exit status is told, not believed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from checks.kinds.base import RunContext
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
