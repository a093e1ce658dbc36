"""Print what the server of one environment is made of, as JSON for the check of kind parity.

    APP_HOME=... GONOGO_PARITY_KEY=... python facts.py

Asks the process that runs, not the files it was started from. Values of variables leave as hashes under the key only.
What cannot be found out is named under `unknown`; nothing is guessed.
"""

import hashlib
import hmac
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from home import Home, OpsError, need, read_json

#: The host gives these to every server; they say nothing of the environment.
OF_THE_HOST = frozenset({"HOME", "LANG", "PATH", "HOSTING_READY_FILE"})
ASK = """
import importlib.metadata, json, platform
names = {each.metadata["Name"]: each.version for each in importlib.metadata.distributions()}
name = platform.python_implementation() + " " + platform.python_version()
print(json.dumps({"interpreter": name, "packages": names}))
"""
PROC = Path("/proc")


def main() -> None:
    home = Home(Path(need("APP_HOME")).resolve())
    state = read_json(home.state)
    process, release = state.get("pid"), home.target(home.current)
    if not process or release is None:
        raise OpsError(f"Nothing runs in {home.root.name}: {state.get('message', 'the host was never asked')}")
    unknown: dict[str, str] = {}
    python = ask_python(release)
    found = {
        "runtime": {
            "interpreter": python["interpreter"],
            "system": system(),
            "architecture": platform.machine(),
        },
        "process": described(int(process), home, release, unknown),
        "packages": python["packages"],
        "variables": variables(int(process), home, release, need("GONOGO_PARITY_KEY")),
        "unknown": unknown,
    }
    print(json.dumps(found, indent=1))


def ask_python(release: Path) -> dict[str, Any]:
    done = subprocess.run(
        [str(release / "venv" / "bin" / "python"), "-I", "-c", ASK], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise OpsError(f"The Python of {release.name} does not answer: {done.stderr.strip()[-300:]}")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def system() -> str:
    names = platform.freedesktop_os_release()
    return names.get("PRETTY_NAME") or names.get("NAME", "") or platform.system()


def described(process: int, home: Home, release: Path, unknown: dict[str, str]) -> dict[str, Any]:
    """The start command, workers, processors and memory of the server."""
    command = (PROC / str(process) / "cmdline").read_bytes().decode(errors="replace").rstrip("\0").split("\0")
    found: dict[str, Any] = {
        "command": re.sub(r"fd://\d+", "fd://…", " ".join(settled(part, home, release) for part in command)),
        "workers": len(children(process)),
        "cpus": len(os.sched_getaffinity(process)),
    }
    memory = memory_limit(process)
    if memory is None:
        unknown["process.memory"] = "neither a control group nor the kernel says it"
    else:
        found["memory"] = f"{memory / 1024**3:.1f} GiB"
    return found


def children(process: int) -> list[int]:
    found = []
    for entry in PROC.glob("[0-9]*/stat"):
        try:
            parent = entry.read_text(errors="replace").rpartition(")")[2].split()[1]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(parent) == process:
            found.append(int(entry.parent.name))
    return found


def memory_limit(process: int) -> int | None:
    """Bytes that the server may use: its control group's limit where there is one, else all of the machine's."""
    limits: list[int] = []
    try:
        group = (PROC / str(process) / "cgroup").read_text().strip().rpartition("::")[2].lstrip("/")
        places = (Path("/sys/fs/cgroup") / group / "memory.max", Path("/sys/fs/cgroup/memory.max"))
        texts = [place.read_text().strip() for place in places if place.is_file()]
        limits += [int(text) for text in texts if text.isdecimal()]
    except OSError:
        pass
    match = re.search(r"^MemTotal:\s+(\d+) kB", (PROC / "meminfo").read_text(), re.M)
    if match:
        limits.append(int(match[1]) * 1024)
    return min(limits) if limits else None


def variables(process: int, home: Home, release: Path, key: str) -> dict[str, str]:
    """Names of the server's variables with a hash of each value, folders of this environment written as {APP_HOME}."""
    pairs = (PROC / str(process) / "environ").read_bytes().decode(errors="replace").split("\0")
    values = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    return {
        name: hmac.new(key.encode(), settled(value, home, release).encode(), hashlib.sha256).hexdigest()
        for name, value in values.items()
        if name not in OF_THE_HOST
    }


def settled(text: str, home: Home, release: Path) -> str:
    """A text without the folders in which environments differ by nature."""
    return text.replace(str(release), "{RELEASE_DIR}").replace(str(home.root), "{APP_HOME}")


if __name__ == "__main__":
    try:
        main()
    except (OpsError, OSError) as error:
        sys.exit(f"facts: {error}")
