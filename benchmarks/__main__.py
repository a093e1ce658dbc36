"""make bench: every benchmark, each in a process of its own. Prints name, value, unit, and a limit or a peer."""

import argparse
import subprocess
import sys
from pathlib import Path

HELPERS = {"__init__", "__main__", "server", "stack"}


def main() -> int:
    here = Path(__file__).parent
    names = sorted(path.stem for path in here.glob("*.py") if path.stem not in HELPERS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", default=[], help=f"some of: {', '.join(names)} (all)")
    chosen = parser.parse_args().names or names
    failed = [
        name for name in chosen if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"], check=False).returncode
    ]
    if failed:
        print(f"Did not run to the end: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
