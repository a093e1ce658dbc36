"""make demo EXAMPLE=thinkincoin|pretalx: one go-live through the running program, with its own log-ins.

Prints each step with its verdict and time; the last line is JSON: steps, seconds, verdict. Exit 0 only if all passed.
"""

import argparse
import json
import logging
import os
import sys
import time
import traceback

import django
import httpx

from config.demo.acceptance import NotAsExpected
from config.demo.examples import EXAMPLES, NotReady, refuse_second_walk
from config.demo.person import Refused
from config.services.home import Home


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m config.demo", description=__doc__)
    parser.add_argument("example", choices=sorted(EXAMPLES))
    arguments = parser.parse_args()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return walk(arguments.example)


def walk(name: str) -> int:
    from config.demo.journey import Broken, Journey

    home = Home()
    started = time.monotonic()
    done: list[dict[str, object]] = []
    verdict = "failed"
    try:
        if not home.is_locked():
            raise NotReady("Go/No-Go does not run here. Start it with `make up` first.")
        address = json.loads(home.status.read_text(encoding="utf-8"))["url"]
        journey = Journey(EXAMPLES[name], home, address)
        refuse_second_walk(journey.person("manager").open("/api/releases").json(), EXAMPLES[name], address)
        steps = journey.steps()
        for number, (title, deed) in enumerate(steps, 1):
            begun = time.monotonic()
            print(f"{number:2}/{len(steps)} {title} ...", flush=True)
            entry: dict[str, object] = {"step": title, "verdict": "failed"}
            done.append(entry)
            try:
                seen = deed()
                entry["verdict"] = "passed"
            finally:
                entry["seconds"] = round(time.monotonic() - begun, 1)
            print(f"      ✓ {seen} ({entry['seconds']} s)", flush=True)
        verdict = "passed"
        print(f"\nSee it at {address}{journey.page}/ with the log-ins that `make status` prints.")
    except (NotReady, Broken, NotAsExpected, Refused, TimeoutError, httpx.HTTPError) as error:
        print(f"      ✕ {error}", flush=True)
    except Exception:  # noqa: BLE001 - the last line must be the verdict, whatever happened
        traceback.print_exc(file=sys.stdout)
    print(json.dumps({"steps": done, "seconds": round(time.monotonic() - started, 1), "verdict": verdict}))
    return 0 if verdict == "passed" else 1


if __name__ == "__main__":
    sys.exit(main())
