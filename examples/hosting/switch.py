"""Ask the host to hold, to switch to a release, to switch back, and wait for its answer.

    python switch.py hold      end the server; connections wait until the next switch
    python switch.py forward   make this build current, start it, wait until it answers
    python switch.py back      make the release before this build current again
    python switch.py resume    start what is current again, as after a hold

Each may be repeated: what is done already is done again without harm.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path
from typing import Any

from home import Home, OpsError, need, read_json, write_atomically

ANSWER_SECONDS = 120.0
UNDER_WAY = ("starting", "holding")


def main(arguments: list[str]) -> None:
    verbs = {"hold": hold, "forward": forward, "back": back, "resume": resume}
    if len(arguments) != 1 or arguments[0] not in verbs:
        raise OpsError("Say one of: " + ", ".join(verbs))
    verbs[arguments[0]](Home(Path(need("APP_HOME")).resolve()))


def hold(home: Home) -> None:
    print(ask(home, "hold")["message"])


def forward(home: Home) -> None:
    release = home.release(need("GONOGO_VERSION"), need("GONOGO_BUILD_DIGEST"))
    if not (release / "release.json").exists():
        raise OpsError(f"{release.name} is not installed in {home.root.name}. Repeat the installation first.")
    current = home.target(home.current)
    if current is not None and current != release:
        home.point(home.previous, current)
    home.point(home.current, release)
    try:
        start_current(home, release)
    except OpsError:
        if current is not None and current != release:
            home.point(home.current, current)
        raise


def back(home: Home) -> None:
    release = home.release(need("GONOGO_VERSION"), need("GONOGO_BUILD_DIGEST"))
    current, previous = home.target(home.current), home.target(home.previous)
    if current == release:
        if previous is None or previous == release:
            raise OpsError(f"{home.root.name} has no release before {release.name}. {release.name} still runs.")
        home.point(home.current, previous)
        current = previous
    if current is None:
        raise OpsError(f"{home.root.name} has no current release, so there is none to go back to.")
    start_current(home, current)


def resume(home: Home) -> None:
    current = home.target(home.current)
    if current is None:
        raise OpsError(f"{home.root.name} has no current release.")
    start_current(home, current)


def start_current(home: Home, release: Path) -> None:
    state = ask(home, "restart")
    if state["state"] != "running" or state["release"] != release.name:
        raise OpsError(state["message"])
    address = f"http://127.0.0.1:{state['port']}{os.environ.get('APP_HEALTH_PATH') or '/'}"
    try:
        with urllib.request.urlopen(address, timeout=30) as response:
            print(f"{release.name} runs; {address} answered {response.status}.")
    except (urllib.error.URLError, TimeoutError) as error:
        raise OpsError(f"{release.name} was started, but {address} does not answer well: {error}.") from error


def ask(home: Home, action: str) -> dict[str, Any]:
    """Put a request to the host and return its answer; raise OpsError when none comes."""
    request = {"id": uuid.uuid4().hex, "action": action}
    write_atomically(home.request, json.dumps(request) + "\n")
    deadline = time.monotonic() + ANSWER_SECONDS
    while time.monotonic() < deadline:
        state = read_json(home.state)
        if state.get("request") == request["id"] and state["state"] not in UNDER_WAY:
            return state
        time.sleep(0.1)
    raise OpsError(
        f"The application host gave no answer within {ANSWER_SECONDS:.0f} s. "
        f"Start it with `python examples/hosting {home.root.parent}` and repeat this step."
    )


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except (OpsError, OSError) as error:
        sys.exit(f"switch: {error}")
