"""pg_dump and pg_restore as streams, and what their complaints mean."""

import fcntl
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import IO

import zstandard

from checks.errors import CheckError
from checks.kinds.base import RunContext
from checks.tools import server_words
from checks.tools.postgres import Address, binary, connected
from checks.tools.storage import READ

_TAIL = 20_000
#: Bytes before compression of one frame: some windows of the fast levels, so that frames cost no more than a stream.
FRAME = 2 * 1024 * 1024
#: So many threads compress, and so many frames may be under way.
COMPRESSING = 2
AHEAD = 4
_FILL_SECONDS = 0.002
Piece = bytes | memoryview


#: pg_restore of PostgreSQL 17 sets transaction_timeout, which older servers refuse to know. So they are given what it
#: would do as a script, without that line, which stands among the first ones. A script that breaks off has no COMMIT.
_KNOWS_EVERY_SETTING = 170000
_BY_SCRIPT = """
restore=$1 psql=$2 database=$3; shift 3
rm -f "$0"
{ "$restore" "$@" --file=- || : >"$0"; } | sed '1,99{/^SET transaction_timeout = 0;$/d;}' |
    "$psql" --no-psqlrc --quiet --no-password --set=ON_ERROR_STOP=1 --dbname="$database" >/dev/null
code=$?
if [ -e "$0" ]; then rm "$0"; exit 1; fi
exit $code
"""


class RefusedError(CheckError):
    """The program ran and said no, for a reason that is not the server's state, a right or the network."""


_COMPLAINTS = (
    (r"server version mismatch", "The server at {server} is newer than the {program} of this worker",
     "Install client programs of the server's version on the worker and set POSTGRES_BIN."),
    (r"lock timeout|could not obtain lock", "A table of {database} is locked by another session and was not released "
     "in time", "Look at pg_stat_activity for the session that holds it, then start again."),
    (r"No space left on device|could not extend file|could not write to file", "The disk of {server} is full",
     "Free space on that server, then start again."),
    (r'extension "[^"]*" is not available|could not open extension control file',
     "An extension that the backup needs is not installed at {server}", "Install it on that server."),
    (r'permission denied to create extension', "Role {role} may not create an extension that the backup needs",
     "Let an administrator create it in template1 there, or use a role that may."),
    (r'role "[^"]*" does not exist', "A role that the backup needs does not exist at {server}", "Create it there."),
    (r"unsupported version \([0-9.]+\) in file header",
     "The backup was written by a later pg_dump than the {program} of this worker can read",
     "Set POSTGRES_BIN to the client programs of that version or a later one."),
    (r"permission denied|must be owner|must be able to SET ROLE|must be superuser|only superusers? ",
     "Role {role} lacks a right at {server}",
     "Grant it, or use another role in the plan."),
    (r"password authentication failed|no password supplied", "The password of role {role} is wrong at {server}",
     "Set the right password in the secret that the plan names."),
    (r"server closed the connection|terminating connection|connection to server was lost|shutting down",
     "The server {server} ended the session", "See its log, then start again."),
    (r"Connection refused", "Nothing listens at {server}", "Start PostgreSQL there, or correct host and port."),
)  # fmt: skip


def complaint(program: str, code: int, text: str, address: Address) -> CheckError:
    """What a program wrote to stderr, and its exit status -> CheckError with cause and mend."""
    said = _last_complaint(text)
    told = {"server": address.server, "role": address.role, "database": address.database, "program": program}
    for pattern, message, remedy in _COMPLAINTS:
        if re.search(pattern, text, re.IGNORECASE):
            return CheckError(f"{message.format(**told)}. {program} said: {said}", remedy=remedy)
    if code < 0:
        return CheckError(f"{program} was ended by signal {-code}.", remedy="Start the run again.")
    return RefusedError(f"{program} ended with exit status {code}: {said or 'it said nothing'}")


def _last_complaint(text: str) -> str:
    """The last line that tells of an error, with the detail that the next line gives; else the last line.

    Without what PostgreSQL quotes of rows; the log has all of it.
    """
    lines = [line.strip() for line in server_words.of_text(text).splitlines()]
    for number in range(len(lines) - 1, -1, -1):
        if re.search(r"error|fatal", lines[number], re.IGNORECASE):
            detail = [line for line in lines[number + 1 : number + 2] if " detail: " in line]
            return " ".join([lines[number], *detail])[:500]
    return lines[-1][:500] if lines else ""


class _Told:
    """A command's stderr, kept in the run's scratch folder: its last lines tell the cause of a failure."""

    def __init__(self, context: RunContext, name: str) -> None:
        self._context = context
        self._path = Path(context.scratch) / f"{name}.stderr"

    def argv(self, command: Sequence[str]) -> list[str]:
        return ["/bin/sh", "-c", 'exec "$@" 2>"$0"', str(self._path), *command]

    def text(self) -> str:
        """Everything said, at most the last lines; also written to the run's log."""
        try:
            data = self._path.read_bytes()[-_TAIL:]
        except FileNotFoundError:
            return ""
        self._path.unlink()
        text = data.decode(errors="replace").strip()
        for line in text.splitlines()[-50:]:
            self._context.warn(line)
        return text


def dump(
    context: RunContext,
    address: Address,
    *,
    snapshot: str = "",
    lock_timeout: timedelta,
    arguments: Sequence[str] = (),
    progress: Callable[[int], None] | None = None,
) -> Generator[Piece]:
    """The pieces of an uncompressed custom-format dump. Ends normally only when pg_dump's exit status was 0.

    A piece holds until ``AHEAD`` more were asked for: its memory is used again.
    """
    dbname, variables = address.for_command()
    told = _Told(context, "pg_dump")
    command = [
        binary("pg_dump"), "--format=custom", "--compress=0", "--no-password", "--no-tablespaces",
        f"--lock-wait-timeout={int(lock_timeout.total_seconds() * 1000)}", f"--dbname={dbname}", *arguments,
    ]  # fmt: skip
    if snapshot:
        command.append(f"--snapshot={snapshot}")
    context.note(f"pg_dump of {address.database} at {address.server}")
    done = 0
    with context.pipe(told.argv(command), stdout=True, variables={**variables, "LC_ALL": "C"}, shown=command) as pipe:
        assert pipe.stdout is not None
        _widen(pipe.stdout)
        for buffer in cycle([bytearray(FRAME) for _ in range(AHEAD + 1)]):
            if not (piece := _filled(buffer, pipe.stdout)):
                break
            context.check()
            done += len(piece)
            if progress is not None:
                progress(done)
            yield piece
        code = pipe.wait()
    text = told.text()
    context.check()
    if code != 0:
        raise complaint("pg_dump", code, text, address)


def load(context: RunContext, address: Address, pieces: Iterable[Piece], *, arguments: Sequence[str] = ()) -> None:
    """Restore a custom-format dump from a stream, whole or not at all. Returns only when the exit status was 0.

    Subscriptions are left out: a second one would draw from the slot of the first, and nobody could drop its database.
    """
    dbname, variables = address.for_command()
    told = _Told(context, "pg_restore")
    options = ["--exit-on-error", "--single-transaction", "--no-tablespaces", "--no-subscriptions", *arguments]
    with connected(address) as connection:
        is_older = connection.info.server_version < _KNOWS_EVERY_SETTING
    if is_older:
        failed = Path(context.scratch) / "pg_restore.failed"
        command = ["/bin/sh", "-c", _BY_SCRIPT, str(failed), binary("pg_restore"), binary("psql"), dbname, *options]
    else:
        command = [binary("pg_restore"), "--no-password", f"--dbname={dbname}", *options]
    context.note(f"pg_restore into {address.database} at {address.server}")
    with context.pipe(told.argv(command), stdin=True, variables={**variables, "LC_ALL": "C"}, shown=command) as pipe:
        assert pipe.stdin is not None
        _widen(pipe.stdin)
        open_ended = True
        for piece in pieces:
            context.check()
            if open_ended:
                try:
                    pipe.stdin.write(piece)
                except BrokenPipeError:
                    # It stopped reading. Its exit status and its words say why; the rest of the source is still proved.
                    open_ended = False
                    if pipe.wait() != 0:
                        break
        if open_ended:
            _close(pipe.stdin)
        code = pipe.wait()
    text = told.text()
    context.check()
    if code != 0:
        raise complaint("pg_restore", code, text, address)


def _widen(stream: IO[bytes]) -> None:
    """Let a pipe hold a whole piece, so that both sides work at once; where that is refused it stays as it is."""
    with suppress(OSError):
        fcntl.fcntl(stream.fileno(), fcntl.F_SETPIPE_SZ, READ)


def _filled(buffer: bytearray, stream: IO[bytes]) -> memoryview:
    """The next bytes of a pipe, as many as the buffer takes; fewer only at its end.

    pg_dump writes four kilobytes at a time, and to be woken for each costs it, the server and us more than the bytes
    do. So when little was there, the pipe is given a moment to fill.
    """
    view = memoryview(buffer)
    at = 0
    while at < len(buffer) and (count := stream.readinto1(view[at:])):  # type: ignore[attr-defined]
        at += count
        if count < READ // 2:
            time.sleep(_FILL_SECONDS)
    return view[:at]


def _close(stream: object) -> None:
    try:
        stream.close()  # type: ignore[attr-defined]
    except BrokenPipeError:
        return


def compressed(pieces: Iterable[Piece], *, level: int) -> Iterator[bytes]:
    """A zstd stream of frames, each with its own checksum; one after the other they are one stream to any zstd.

    Threads compress, while the caller's thread gets the next piece and deals with the one before: reading, compressing
    and sealing take turns otherwise, and pg_dump waits for all three. A whole frame at once also takes less time than a
    stream, which zstd has to copy first.
    """
    own = threading.local()

    def frame(plain: Piece) -> bytes:
        if not hasattr(own, "compressor"):
            own.compressor = zstandard.ZstdCompressor(level=level, write_checksum=True)
        packed: bytes = own.compressor.compress(plain)
        return packed

    under_way: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(COMPRESSING, thread_name_prefix="zstd") as threads:
        for plain in _joined(pieces, FRAME):
            under_way.append(threads.submit(frame, plain))
            if len(under_way) >= AHEAD:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _joined(pieces: Iterable[Piece], size: int) -> Iterator[Piece]:
    """The pieces, joined to at least ``size`` bytes each but for the last; an empty one where there is none."""
    held: list[Piece] = []
    length = 0
    empty = True
    for piece in pieces:
        held.append(piece)
        length += len(piece)
        if length >= size:
            yield held[0] if len(held) == 1 else b"".join(held)
            held, length, empty = [], 0, False
    if held or empty:
        yield b"".join(held)


def decompressed(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The inverse of ``compressed``, a frame at most at once. CheckError when it is damaged or ends within a frame."""
    decompressor: zstandard.ZstdDecompressionObj | None = None
    ended = False
    try:
        for piece in pieces:
            rest = piece
            while rest:
                decompressor = decompressor or zstandard.ZstdDecompressor().decompressobj()
                if plain := decompressor.decompress(rest):
                    yield plain
                ended = decompressor.eof
                rest = decompressor.unused_data if ended else b""
                decompressor = None if ended else decompressor
    except zstandard.ZstdError as error:
        raise RefusedError(f"The compressed stream is damaged: {error}") from error
    if not ended:
        raise RefusedError("The compressed stream ends before its end.")
