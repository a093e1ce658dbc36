"""What is in the folders that a plan declares, link by link, so that nothing is left out without a word.

A link to a file is taken as that file. A link to a folder is followed where it leads into a declared folder, so that a
restore gives back the same paths; one that leads elsewhere is refused by name, because whoever declared the folder did
not see what lies behind it. A link that leads nowhere, or back to where it stands, has nothing to take: it is told.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from checks.errors import CheckError

#: What an error of the system says of a link that leads nowhere.
_NOWHERE: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
#: So many of what was left out are named; the others are counted.
NAMED: Final = 100


class LeftOut:
    """What was not taken and why: a sentence each for the first ones, and their number."""

    def __init__(self) -> None:
        self.sentences: list[str] = []
        self.count = 0

    def add(self, sentence: str) -> None:
        self.count += 1
        if len(self.sentences) < NAMED:
            self.sentences.append(sentence)


class Walk:
    """One look through declared folders. ``roots``: all that is declared; ``what``: what one is called, in errors."""

    def __init__(
        self, roots: list[Path], *, what: str, key: str, left_out: LeftOut, check: Callable[[], None] = lambda: None
    ) -> None:
        self._roots = [root.resolve() for root in roots]
        self._what, self._key, self._left_out, self._check = what, key, left_out, check

    def files(self, declared: Path) -> Iterator[Path]:
        """Every file in a declared folder, or the declared file itself. CheckError names what cannot be taken."""
        try:
            mode = declared.stat().st_mode
        except OSError as error:
            if error.errno in _NOWHERE:
                raise CheckError(
                    f"The {self._what} {declared} does not exist on this worker.",
                    remedy=f"Put it there, or take it out of {self._key} in the plan. No backup was made.",
                ) from error
            raise self._unreadable(declared, error) from error
        if stat.S_ISDIR(mode):
            yield from self._folder(declared, [declared.resolve()])
        elif stat.S_ISREG(mode):
            yield declared
        else:
            raise CheckError(
                f"The {self._what} {declared} is neither a file nor a folder.",
                remedy=f"Take it out of {self._key} in the plan. No backup was made.",
            )

    def _folder(self, folder: Path, way: list[Path]) -> Iterator[Path]:
        """``way``: the real folders from the declared one to this one, to notice a link that leads back."""
        self._check()
        try:
            with os.scandir(folder) as entries:
                members = sorted(entries, key=lambda entry: entry.name)
        except FileNotFoundError:
            self._left_out.add(f"{folder} was removed while the folders were looked through.")
            return
        except OSError as error:
            raise self._unreadable(folder, error) from error
        for member in members:
            yield from self._member(Path(member.path), way)

    def _member(self, path: Path, way: list[Path]) -> Iterator[Path]:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            if error.errno not in _NOWHERE:
                raise self._unreadable(path, error) from error
            self._left_out.add(self._nowhere(path))
            return
        if stat.S_ISREG(mode):
            yield path
        elif not stat.S_ISDIR(mode):
            self._left_out.add(f"{path} is neither a file nor a folder, and was not taken.")
        elif not path.is_symlink():
            yield from self._folder(path, [*way, way[-1] / path.name])
        else:
            yield from self._linked(path, way)

    def _linked(self, path: Path, way: list[Path]) -> Iterator[Path]:
        real = path.resolve()
        if not any(real.is_relative_to(root) for root in self._roots):
            raise CheckError(
                f"The link {path} leads out of what is declared, to the folder {real}.",
                remedy=f"Declare that folder in {self._key} too, or take the link away. No backup was made.",
            )
        if real in way:
            self._left_out.add(f"{path} is a link back to {real}, in which it stands, and was not followed.")
        else:
            yield from self._folder(path, [*way, real])

    def _nowhere(self, path: Path) -> str:
        try:
            return f"{path} is a link to {path.readlink()}, where nothing is, and was not taken."
        except OSError:
            return f"{path} was removed while the folders were looked through."

    def _unreadable(self, path: Path, error: OSError) -> CheckError:
        return CheckError(
            f"The {self._what} cannot be read whole, because of {path}: {error.strerror}.",
            remedy="Let the worker's user read it. No backup was made.",
        )
