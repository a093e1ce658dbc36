"""Faults of backups: a stored one that is cut short, and storage that loses what is written to it.

They lie where no backup is looked for (``manifest.ASIDE``); no real backup is changed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from checks.enums import ACTIVE_STATES
from checks.errors import CheckError
from checks.models import Run
from checks.plan import Plan
from checks.tools import backup, manifest, storage
from checks.tools.crypto import KeyRing
from checks.tools.planting.fault import Ground, Planted
from checks.tools.planting.materials import NotPlantable

_CUT_BYTES: Final = 100
#: How the sentence about an object that is cut goes on after its name.
_CUT_SHORT: Final = "is cut "


class CutBackup:
    """A copy of the newest backup's database object without its last bytes, under a manifest of its own.

    The other objects are read where they lie; nothing of the backup itself is changed. ``cut``: the copied object.
    """

    def __init__(self, application: str, environment: str, run: str) -> None:
        self.stem = manifest.stem_aside(application, environment, run)
        self.cut, self.key = f"{self.stem}.database", f"{self.stem}{manifest.SUFFIX}"
        self.told = ""
        _sweep(application, environment, run)
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


def truncated_backup(params: Mapping[str, Any], ground: Ground) -> Planted:
    """For a check that is given the backup that it restores."""
    copy = CutBackup(*ground.owner)
    return Planted(copy.told, copy.cut, {"backup": copy.key}, removed=copy.remove, sign=_CUT_SHORT)


def rotten_backup(params: Mapping[str, Any], ground: Ground) -> Planted:
    """For retention, which reads some of those kept again."""
    copy = CutBackup(*ground.owner)
    return Planted(copy.told, copy.cut, {"read_also": [copy.key]}, removed=copy.remove, sign=_CUT_SHORT)


def refuse_unread(plan: Plan, planned: Mapping[str, Any], environment: str) -> None:
    if planned.get("read_again") == 0:
        raise NotPlantable("the plan's retention reads no backup again (read_again), so it would not see a rotten one")


def lossy_storage(params: Mapping[str, Any], ground: Ground) -> Planted:
    """The backup's object of the database loses its end when it is written and not yet read back."""
    written = f"{manifest.stem_aside(*ground.owner)}.database"
    application, environment, run = ground.owner

    def during(text: str) -> None:
        if text == backup.READING_BACK:
            _cut(f"{written}.partial")

    return Planted(
        "storage loses the end of what was written to it", written, during=during, breaks=True,
        removed=lambda: remove_left(application, [environment], run), sign="otherwise than it was written",
    )  # fmt: skip


def _cut(key: str) -> None:
    size = storage.read_back(key).size
    storage.write(f"{key}.cut", _first(key, size - min(_CUT_BYTES, size // 2)))
    storage.remove_surely(key)
    storage.move(f"{key}.cut", key)


def _sweep(application: str, environment: str, own: str) -> None:
    """Take away what an attempt that was killed left there, of this run or of one that is over."""
    active = {key.hex for key in Run.objects.filter(state__in=ACTIVE_STATES).values_list("pk", flat=True)}
    folder = f"{manifest.folder(application, environment)}/{manifest.ASIDE}"
    for name in storage.names(folder):
        if name.partition(".")[0] not in active - {own}:
            storage.remove_surely(f"{folder}/{name}")


def remove_left(application: str, environments: Sequence[str], run: str) -> None:
    """Take away what a run (hex) put below the backups of any environment; one whose worker was killed did not."""
    for environment in environments:
        folder = f"{manifest.folder(application, environment)}/{manifest.ASIDE}"
        for name in storage.names(folder):
            if name.partition(".")[0] == run:
                storage.remove_surely(f"{folder}/{name}")


def _first(key: str, size: int) -> Iterator[bytes]:
    """The first ``size`` bytes of an object."""
    with storage.opened(key) as source:
        while size and (piece := source.read(min(size, storage.READ))):
            size -= len(piece)
            yield piece
