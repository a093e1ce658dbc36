"""Make the build of one version: one file, the same bytes each time.    python build.py VERSION OUT.tar

The archive holds the package `thinkincoin` and, as requirements.txt, the lock of everything it needs, so that one
sha256 stands for all the code that will run. It is not compressed, because compressors differ between machines.

versions/1.0 is a whole tree. A later version holds only the files that it adds or changes; they are laid over the
version before it, so that its folder shows what the release brings.
"""

import hashlib
import io
import sys
import tarfile
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent
VERSIONS = ("1.0", "1.1")


def files_of(version: str) -> dict[str, bytes]:
    """Return path -> content of one version, every later layer over the one before."""
    files: dict[str, bytes] = {}
    for layer in VERSIONS[: VERSIONS.index(version) + 1]:
        folder = EXAMPLE / "versions" / layer
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                files[path.relative_to(folder).as_posix()] = path.read_bytes()
    files["requirements.txt"] = (EXAMPLE / "builds" / f"{version}.txt").read_bytes()
    return files


def build(version: str, out: Path) -> str:
    """Write the archive and return its sha256 in hexadecimal digits."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(files_of(version).items()):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), 0o644, 0
            tar.addfile(entry, io.BytesIO(content))
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_bytes(archive.getvalue())
    return hashlib.sha256(archive.getvalue()).hexdigest()


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in VERSIONS:
        sys.exit(f"usage: python build.py {'|'.join(VERSIONS)} OUT.tar")
    print(build(sys.argv[1], Path(sys.argv[2])))
