"""As whom a server runs, and how it ends with its parent.

PostgreSQL refuses to run as root. For root it runs as an ordinary system user, who may be unable to reach a checkout
below a closed folder such as /root. No folder is opened up for that: the server process gets the one ambient
capability it needs to look through closed folders, and only where it needs it.
"""

import ctypes
import os
import pwd
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from config.services.errors import ServiceError

PR_SET_PDEATHSIG = 1
PR_SET_SECUREBITS = 28
PR_SET_CHILD_SUBREAPER = 36
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
SECBIT_NO_SETUID_FIXUP = 1 << 2
CAPABILITY_VERSION_3 = 0x20080522
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2

CANNOT_READ = 126

_libc = ctypes.CDLL(None, use_errno=True)


def _prctl(option: int, first: int = 0, second: int = 0) -> None:
    if _libc.prctl(option, ctypes.c_ulong(first), ctypes.c_ulong(second), ctypes.c_ulong(0), ctypes.c_ulong(0)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def adopt_orphans() -> None:
    """Make this process the parent of every descendant whose own parent has died."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def end_with_parent(parent: int, ending: signal.Signals) -> None:
    """Let the kernel send `ending` to this process when its parent, process `parent`, dies."""
    _prctl(PR_SET_PDEATHSIG, ending)
    if os.getppid() != parent:
        os.kill(os.getpid(), ending)


@dataclass(frozen=True)
class Identity:
    """A user to run as. `capability` is one of the CAP_ numbers, or None for none."""

    uid: int
    gid: int
    capability: int | None = None

    @property
    def is_self(self) -> bool:
        return self.uid == os.geteuid()

    def own(self, path: Path) -> None:
        """Hand a file or folder to this user."""
        if not self.is_self:
            os.chown(path, self.uid, self.gid)

    def assume(self) -> None:
        """Become this user for good. Called between fork and exec."""
        if self.is_self:
            return
        os.setgroups([])
        os.setgid(self.gid)
        if self.capability is not None:
            # Without this bit access(2), which PostgreSQL asks for its programs, would not count the capability.
            _prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP)
        os.setuid(self.uid)
        if self.capability is not None:
            _keep_one_capability(self.capability)


def _keep_one_capability(capability: int) -> None:
    mask = 1 << capability
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    # effective, permitted and inheritable for the lower 32 capabilities, then the same for the upper ones
    data = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    if _libc.capset(header, data) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    _prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability)


def before_exec(identity: Identity, ending: signal.Signals) -> Callable[[], None]:
    """Return what a child does between fork and exec: change user, and end with this process.

    The order matters: a change of user clears the parent-death signal.
    """
    parent = os.getpid()

    def prepare() -> None:
        identity.assume()
        end_with_parent(parent, ending)

    return prepare


def own_identity() -> Identity:
    return Identity(os.geteuid(), os.getegid())


def server_identity(program: Path, folder: Path) -> Identity:
    """Return as whom `program` can run and reach `folder`.

    An ordinary user runs it as itself. Root runs it as GONOGO_POSTGRES_USER, else postgres, else nobody.
    Raises ServiceError when no way works.
    """
    if os.geteuid() != 0:
        return own_identity()
    entry = _system_user()
    problem = ""
    for capability in (None, CAP_DAC_READ_SEARCH, CAP_DAC_OVERRIDE):
        identity = Identity(entry.pw_uid, entry.pw_gid, capability)
        problem = _problem_of(identity, program, folder)
        if not problem:
            return identity
    raise ServiceError(
        f"PostgreSQL must not run as root, and the user {entry.pw_name} cannot run {program} in {folder}: {problem}. "
        "Run this as an ordinary user, or set DATABASE_URL to a PostgreSQL server of your own."
    )


def _system_user() -> pwd.struct_passwd:
    wanted = os.environ.get("GONOGO_POSTGRES_USER", "")
    for name in (wanted,) if wanted else ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServiceError(
        f"PostgreSQL must not run as root, and there is no user {wanted or 'postgres or nobody'} to run it as. "
        "Run this as an ordinary user, or set GONOGO_POSTGRES_USER to a user that exists."
    )


def _problem_of(identity: Identity, program: Path, folder: Path) -> str:
    """Try it: an empty text means that the identity can reach the folder and run the program."""

    def prepare() -> None:
        identity.assume()
        os.chdir(folder)
        if not os.access(program, os.R_OK | os.X_OK):
            os._exit(CANNOT_READ)

    try:
        done = subprocess.run(
            [str(program), "--version"], preexec_fn=prepare, capture_output=True, text=True, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return str(error)
    if done.returncode == CANNOT_READ:
        return "the program is out of its reach"
    return "" if done.returncode == 0 else (done.stderr.strip() or f"exit status {done.returncode}")
