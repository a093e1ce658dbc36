"""What faults of a build are made of: a list with a known bad release, an archive with one file more."""

import io
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from checks.errors import CheckError
from checks.plan import Plan
from checks.tools import package_lists
from checks.tools.auditing.looking import NotSeen
from checks.tools.auditing.packages import KNOWN_BAD, advisories_to_ask


class NotPlantable(Exception):
    """Why this fault cannot be planted here."""


def refuse_without_advisories(plan: Plan, planned: Mapping[str, Any], environment: str) -> None:
    """NotPlantable when nobody can be asked which versions are vulnerable."""
    try:
        with ExitStack() as stack:
            stack.enter_context(advisories_to_ask())
    except (NotSeen, CheckError) as reason:
        raise NotPlantable(str(reason)) from None


def with_bad_pin(build: Path | None, name: str, exclude: Sequence[str]) -> tuple[str, str]:
    """(list of the build's packages of PyPI with one pinned to a known bad version, "package version").

    ``exclude``: patterns of lists that the plan leaves out.
    """
    if build is None:
        raise NotPlantable("the release has no build whose list of packages could be copied")
    try:
        components = package_lists.contents_of(build, name, exclude=exclude).components
    except CheckError as reason:
        raise NotPlantable(reason.message) from None
    package, version = KNOWN_BAD["PyPI"]
    pins = {each.name: each.version for each in components if each.ecosystem == "pypi"} | {package: version}
    return "".join(f"{each}=={pins[each]}\n" for each in sorted(pins)), f"{package} {version}"


def with_file(build: Path | None, folder: Path, name: str, text: str) -> Path:
    """A copy of a build that is an archive, in ``folder``, with one file more."""
    if build is None:
        raise NotPlantable("the release has no build whose source could be copied")
    copy, data = folder / build.name, text.encode()
    try:
        if tarfile.is_tarfile(build):
            with tarfile.open(build) as old, tarfile.open(copy, "w") as new:
                for member in old:
                    new.addfile(member, old.extractfile(member) if member.isreg() else None)
                more = tarfile.TarInfo(name)
                more.size = len(data)
                new.addfile(more, io.BytesIO(data))
        elif zipfile.is_zipfile(build):
            shutil.copyfile(build, copy)
            with zipfile.ZipFile(copy, "a") as packed:
                packed.writestr(name, data)
        else:
            raise NotPlantable("the build is no archive, so it holds no source beside which a file could lie")
    except (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error) as error:
        raise NotPlantable(f"the build cannot be unpacked: {error}") from None
    return copy
