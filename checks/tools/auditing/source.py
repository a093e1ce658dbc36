"""The source of a release's build, unpacked for tools that read it."""

import fnmatch
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import Field

from checks.kinds.base import RunContext
from checks.plan import Command, Section
from checks.tools.auditing.looking import NotSeen
from checks.tools.package_lists import ARCHIVE_ERRORS

MAX_BYTES: Final = 1_000_000_000
MAX_FILES: Final = 100_000


class SourceSection(Section):
    """``unpack`` puts the source into the folder GONOGO_SOURCE, where the build itself is no archive of it."""

    unpack: Command | None = None
    exclude: list[str] = Field(default=[], max_length=50, description="Patterns of paths that are not looked at.")


def unpacked(context: RunContext, section: SourceSection) -> Path:
    """The folder with the source, made once for each run. What could not be made whole is taken away again.

    Another look of the same run would otherwise take the half of it for the source.
    """
    folder = context.scratch / "source"
    if folder.exists():
        return folder
    folder.mkdir(mode=0o700)
    try:
        _fill(context, section, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder


def _fill(context: RunContext, section: SourceSection, folder: Path) -> None:
    if section.unpack is not None:
        command = section.unpack
        variables = {**command.variables, "GONOGO_SOURCE": str(folder)}
        context.command(command.arguments, timeout=command.timeout.total_seconds(), variables=variables)
    elif context.build_file is not None:
        _unpack(context.build_file, folder)
    else:
        raise NotSeen("The run has no release, so there is no build to look at.", remedy="Start it for a release.")
    _leave_out(folder, section.exclude)
    if not any(files_in(folder)):
        raise NotSeen(
            "No file of source is left to look at.", remedy="See source.unpack and source.exclude in the plan."
        )


def files_in(folder: Path, suffix: str = "") -> Iterator[Path]:
    """Regular files below the folder; links are not followed."""
    for path in sorted(folder.rglob(f"*{suffix}")):
        if path.is_file() and not path.is_symlink():
            yield path


def _unpack(build: Path, folder: Path) -> None:
    try:
        if tarfile.is_tarfile(build):
            with tarfile.open(build) as archive:
                _bounded(build.name, ((member.name, member.size) for member in archive))
                archive.extractall(folder, filter="data")
        elif zipfile.is_zipfile(build):
            with zipfile.ZipFile(build) as packed:
                _bounded(build.name, ((member.filename, member.file_size) for member in packed.infolist()))
                packed.extractall(folder)  # noqa: S202 - zipfile keeps names below the folder; sizes are bounded above
        else:
            raise NotSeen(
                f"The build {build.name} is no archive, so it holds no source to look at.",
                remedy="Name a command in the plan (source.unpack) that puts the source into $GONOGO_SOURCE.",
            )
    except ARCHIVE_ERRORS as error:
        raise NotSeen(f"The build {build.name} cannot be unpacked: {error}.") from error


def _bounded(name: str, members: Iterator[tuple[str, int]]) -> None:
    size = files = 0
    for _, length in members:
        size, files = size + length, files + 1
        if size > MAX_BYTES or files > MAX_FILES:
            raise NotSeen(f"The build {name} holds more than {MAX_BYTES:,} bytes or {MAX_FILES:,} files.")


def _leave_out(folder: Path, patterns: list[str]) -> None:
    for path in list(files_in(folder)):
        name = path.relative_to(folder).as_posix()
        if any(fnmatch.fnmatch(name, pattern) for pattern in patterns):
            path.unlink()
