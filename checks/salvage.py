"""The last lines of a dead worker: printed by its child, not committed any more, but still in its file.

What was committed of the file is known: masking and cutting are the same again, so as many lines are skipped as the
attempt's log holds of it. Only a file that can be masked exactly as before is read: every secret that the attempt
knew must be known now, by its fingerprint; a generated password of the dead worker is not, and then nothing is shown.
"""

import hashlib
import hmac
import logging
import shutil
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.utils import timezone

from checks.enums import LineKind
from checks.lines import LineCutter
from checks.masking import Masker, Vocabulary
from checks.models import LogChunk, Run
from checks.places import Places
from releases.domain.environment import secret_value
from releases.errors import DomainError
from releases.models import Secret

logger = logging.getLogger(__name__)

FINGERPRINTS = "masked"
BEGINNING = ".begins"
CHUNK_LINES = 2000
READ_BYTES = 1024 * 1024


def fingerprint(value: str) -> str:
    """Tells whether two secrets are the same, to those only who hold the program's key."""
    return hmac.new(settings.SECRET_KEY.encode(), value.encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()


def salvage(run: Run, attempt: int) -> int:
    """Commit what the dead attempt's file still holds; the number of lines. The run's row must be locked.

    Nothing happens where the files lie on another machine, or cannot be masked or placed with certainty.
    """
    folder = Path(settings.SPOOL_ROOT) / str(run.pk) / str(attempt)
    try:
        lines = _read(run, attempt, folder)
    except OSError as error:
        logger.warning("salvage.unreadable", extra={"run": str(run.pk), "error": str(error)})
        return 0
    if lines:
        text = f"The worker died here. {len(lines)} lines that it had not written down were found in its file."
        _commit(run, attempt, [*((LineKind.OUTPUT, line) for line in lines), (LineKind.NOTE, text)])
    shutil.rmtree(folder, ignore_errors=True)
    return len(lines)


def _read(run: Run, attempt: int, folder: Path) -> list[str]:
    files = sorted(folder.glob("*.out")) if folder.is_dir() else []
    # Of two files at once nobody knows how their lines were mixed.
    if len(files) != 1 or (folder / "rest.log").exists():
        return []
    vocabulary = _vocabulary(run, folder)
    if vocabulary is None:
        logger.warning("salvage.unknown_secret", extra={"run": str(run.pk)})
        return []
    committed = sum(
        kinds.count(LineKind.OUTPUT.value)
        for kinds in LogChunk.objects.filter(run=run, attempt=attempt).values_list("kinds", flat=True)
    )
    begins = files[0].with_suffix(BEGINNING)
    before = int(begins.read_text().strip() or committed) if begins.exists() else committed
    masker, cutter, lines = Masker(vocabulary), LineCutter(), []
    with files[0].open("rb") as handle:
        while data := handle.read(READ_BYTES):
            lines += cutter.feed(masker.feed(data))
    lines += cutter.feed(masker.finish()) + cutter.finish()
    places = Places.of(run, Path(settings.WORK_ROOT) / str(run.pk) / str(attempt))
    return [places.shown(line) for line in lines[max(0, committed - before) :]]


def _vocabulary(run: Run, folder: Path) -> Vocabulary | None:
    """The dead attempt's secrets, found among those that are known now; None when one is missing."""
    noted = folder / FINGERPRINTS
    wanted = set(noted.read_text().split()) if noted.exists() else set()
    known: dict[str, str] = {}
    for value in _known_values(run):
        known[fingerprint(value)] = value
    if not wanted <= known.keys():
        return None
    vocabulary = Vocabulary()
    vocabulary.add(known[each] for each in wanted)
    return vocabulary


def _known_values(run: Run) -> list[str]:
    values: list[str] = []
    for name in Secret.objects.filter(application=run.application).values_list("name", flat=True):
        try:
            values.append(secret_value(application=run.application, name=name))
        except DomainError:
            continue
    for environment in run.plan_version.document["environments"].values():
        values += environment["variables"].values()
    for value in list(values):
        try:
            password = urlsplit(value).password or ""
        except ValueError:
            continue
        values += [password, unquote(password)]
    return values


def _commit(run: Run, attempt: int, lines: list[tuple[LineKind, str]]) -> None:
    last = LogChunk.objects.filter(run=run, attempt=attempt).order_by("-first_line").first()
    place = last.first_line + last.lines if last else 1
    added = 0
    now = time.time_ns() // 1_000_000
    for start in range(0, len(lines), CHUNK_LINES):
        part = lines[start : start + CHUNK_LINES]
        body = "\n".join(text for _, text in part)
        LogChunk.objects.create(
            run=run,
            attempt=attempt,
            first_line=place + start,
            lines=len(part),
            bytes=len(body.encode()),
            sha256=hashlib.sha256(body.encode()).hexdigest(),
            token=last.token if last else 0,
            body=body,
            stamps=[now] * len(part),
            kinds="".join(kind.value for kind, _ in part),
            committed_at=timezone.now(),
        )
        added += len(body.encode())
    if run.attempt == attempt:
        run.log_lines, run.log_bytes = place + len(lines) - 1, run.log_bytes + added
        run.save(update_fields=["log_lines", "log_bytes"])
