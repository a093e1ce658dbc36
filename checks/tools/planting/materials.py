"""What faults are made of that are no changes of a database: a list with a known bad release, a backup cut short."""

import io
import shutil
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from checks.enums import ACTIVE_STATES
from checks.errors import CheckError
from checks.models import Run
from checks.plan import Plan
from checks.tools import manifest, package_lists, storage
from checks.tools.auditing.looking import NotSeen
from checks.tools.auditing.packages import KNOWN_BAD, advisories_to_ask
from checks.tools.crypto import KeyRing

#: Folder below an environment's backups; what lies there is never listed as a backup.
FOLDER: Final = "gate-test"
_CUT_BYTES: Final = 100


class NotPlantable(Exception):
    """Why this fault cannot be planted here."""


def refuse_without_advisories(plan: Plan, planned: Mapping[str, Any], environment: str) -> None:
    """NotPlantable when nobody can be asked which versions are vulnerable."""
    try:
        with ExitStack() as stack:
            stack.enter_context(advisories_to_ask())
    except (NotSeen, CheckError) as reason:
        raise NotPlantable(str(reason)) from None


def with_bad_pin(build: Path | None, name: str) -> tuple[str, str]:
    """(list of the build's packages of PyPI with one pinned to a known bad version, "package version")."""
    if build is None:
        raise NotPlantable("the release has no build whose list of packages could be copied")
    try:
        components = package_lists.contents_of(build, name).components
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


class CutBackup:
    """A copy of the newest backup's database object without its last bytes, under a manifest of its own.

    The other objects are read where they lie; nothing of the backup itself is changed. ``cut``: the copied object.
    """

    def __init__(self, application: str, environment: str, run: str) -> None:
        self.folder = f"{manifest.folder(application, environment)}/{FOLDER}"
        self.stem = f"{self.folder}/{run}"
        self.cut, self.key = f"{self.stem}.database", f"{self.stem}{manifest.SUFFIX}"
        self.told = ""
        self._sweep(run)
        ring = KeyRing.from_settings()
        try:
            document = manifest.load(manifest.newest_key(application, environment), ring)
        except CheckError as reason:
            raise NotPlantable(reason.message) from None
        found = manifest.parts(document)
        size = found["database"].size
        less = min(_CUT_BYTES, size // 2)
        found["database"] = manifest.Part(**{**found["database"].as_json(), "key": self.cut})
        copied = {**document, "stem": self.stem, "parts": [part.as_json() for part in found.values()]}
        try:
            storage.write(self.cut, _first(manifest.parts(document)["database"].key, size - less))
            storage.write(self.key, [manifest.sealed_text(copied, ring)])
        except BaseException:
            self.remove()
            raise
        self.told = f"the copied object of the database misses its last {less} of {size:,} bytes"

    def remove(self) -> None:
        for key in (self.key, self.cut):
            storage.remove_surely(key)

    def _sweep(self, own: str) -> None:
        """Take away what an attempt that was killed left here, of this run or of one that is over."""
        active = {key.hex for key in Run.objects.filter(state__in=ACTIVE_STATES).values_list("pk", flat=True)}
        for name in storage.names(self.folder):
            if name.partition(".")[0] not in active - {own}:
                storage.remove_surely(f"{self.folder}/{name}")


def remove_cut_backups(application: str, environments: Sequence[str], run: str) -> None:
    """Take away what a run (hex) whose worker was killed left below the backups of any environment."""
    for environment in environments:
        folder = f"{manifest.folder(application, environment)}/{FOLDER}"
        for name in storage.names(folder):
            if name.partition(".")[0] == run:
                storage.remove_surely(f"{folder}/{name}")


def _first(key: str, size: int) -> Iterator[bytes]:
    """The first ``size`` bytes of an object."""
    with storage.opened(key) as source:
        while size and (piece := source.read(min(size, storage.READ))):
            size -= len(piece)
            yield piece
