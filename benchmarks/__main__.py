"""make bench: every benchmark, each in a process of its own. Prints name, value, unit, and a limit or a peer."""

import argparse
import subprocess
import sys
from pathlib import Path

HELPERS = {"__init__", "__main__", "limits", "processor", "server", "stack"}
NAMES = sorted(path.stem for path in Path(__file__).parent.glob("*.py") if path.stem not in HELPERS)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", default=[], help=f"some of: {', '.join(NAMES)} (all)")
    chosen = parser.parse_args().names or NAMES
    failed = [
        name for name in chosen if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    ]
    if failed:
        print(f"Missed a limit, or did not run to the end: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
