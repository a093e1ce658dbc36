"""How soon people see what a run prints.

    python -m benchmarks.streams

All of it through the whole program: POST, outbox, relay, Celery, worker, child, recorder, PostgreSQL, Redis, SSE.
Buildbot 4.3 on the same kind of machine took 5.2 s from click to first line, and p50 2.5 s, p99 4.9 s for a line.
"""

import asyncio
import math
import re
import resource
import statistics
import time
from collections.abc import Sequence

import aiohttp

from benchmarks.stack import Stack, stack
from config.demo.person import Person

CLICKS = 20
_STAMP = re.compile(rb"line (\d+) t=(\d+\.\d+)")


def show(name: str, value: float, unit: str, limit: str) -> None:
    print(f"{name:44} {value:10.3f} {unit:6} {limit}", flush=True)


def percentile(values: Sequence[float], share: float) -> float:
    """The nearest rank: of 20 values the 19th is the 95th percentile."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def start(person: Person, where: Stack) -> int:
    """Press the button; the run's number, without opening its page."""
    token = next(value for name, value in person.http.cookies.items() if "csrftoken" in name)
    answer = person.http.post(where.start_path, data={"csrfmiddlewaretoken": token}, follow_redirects=False)
    if answer.status_code != 302:
        raise RuntimeError(f"the run did not start: {answer.status_code}")
    return int(answer.headers["Location"].rstrip("/").rsplit("/", 1)[1])


def click_to_first_line(person: Person, where: Stack) -> list[float]:
    """Seconds from the POST to the first line that the child printed, at an SSE client; each on an idle program."""
    seconds = []
    for _ in range(CLICKS):
        begun = time.monotonic()
        number = start(person, where)
        with person.http.stream("GET", f"/runs/{number}/log/stream") as answer:
            for text in answer.iter_text():
                if "line 0 t=" in text:
                    seconds.append(time.monotonic() - begun)
                    break
        person.wait(number, 60)
    return seconds


async def watch(
    session: aiohttp.ClientSession, url: str, ready: asyncio.Semaphore, came: list[tuple[float, float]]
) -> list[int]:
    """One watcher: the numbers of the lines it saw, in order, and into ``came`` when each was printed and how late."""
    seen: list[int] = []
    async with session.get(url) as answer:
        if answer.status != 200:
            raise RuntimeError(f"a watcher was answered {answer.status}")
        ready.release()
        # A line may be cut between two reads; the rest of it waits for the next.
        rest = b""
        async for block in answer.content.iter_any():
            now = time.time()
            whole, _, tail = (rest + block).rpartition(b"\n")
            rest = tail
            for match in _STAMP.finditer(whole):
                seen.append(int(match.group(1)))
                came.append((float(match.group(2)), now - float(match.group(2))))
            if b"event: sealed" in whole + tail:
                break
    return seen


async def watched(where: Stack, cookies: dict[str, str], person: Person, watchers: int) -> tuple[list[float], int, int]:
    """Delays of all lines at all watchers, how many lines were lost or doubled, and how many there were."""
    came: list[tuple[float, float]] = []
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=60)
    async with aiohttp.ClientSession(
        connector=connector, cookies=cookies, timeout=timeout, read_bufsize=1 << 14
    ) as session:
        number = await asyncio.to_thread(start, person, where)
        ready = asyncio.Semaphore(0)
        url = f"{where.address}/runs/{number}/log/stream"
        joining = time.time()
        # A watcher that is refused ends all the others: a figure of fewer watchers would be another figure.
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(watch(session, url, ready, came)) for _ in range(watchers)]
            for _ in tasks:
                await ready.acquire()
            joined = time.time()
            show(f"stream.{watchers}_watchers_all_joined_after", joined - joining, "s", "-")
        seen = [task.result() for task in tasks]
    run = await asyncio.to_thread(person.wait, number, 60)
    lines = max(len(each) for each in seen)
    wrong = sum(each != list(range(lines)) for each in seen)
    if run["state"] != "passed" or time.time() - joined < 5:
        raise RuntimeError(f"the run ended {run['state']} before it could be watched")
    # Lines of before everybody had come were replayed; only those printed after are a measure of the live stream.
    return [late for printed, late in came if printed >= joined], wrong, lines


def measure(rate: float, seconds: float, watchers: int, *, clicks: bool, web: int = 2) -> None:
    with stack(rate, seconds, web=web) as where:
        person = Person(where.address, "engineer@gonogo.example", where.password)
        delays, wrong, lines = asyncio.run(watched(where, dict(person.http.cookies), person, watchers))
        name = f"stream.{watchers}_watchers_{rate:.0f}_lines"
        limits = {50: ("0.1 s; Buildbot 2.5 s", "0.4 s; Buildbot 4.9 s"), 1000: ("-", "1 s")}[watchers]
        show(f"{name}.p50", statistics.median(delays), "s", limits[0])
        show(f"{name}.p99", percentile(delays, 0.99), "s", limits[1])
        show(f"{name}.watchers_with_lost_or_doubled_lines", wrong, "of", f"0; {watchers} watchers, {lines} lines each")
    if clicks:
        with stack(20, 0.5) as where:
            person = Person(where.address, "engineer@gonogo.example", where.password)
            seconds_each = click_to_first_line(person, where)
            show("click_to_first_line.p50", statistics.median(seconds_each), "s", "-")
            show("click_to_first_line.p95", percentile(seconds_each, 0.95), "s", "0.5 s; Buildbot 5.2 s")


def main() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    measure(40, 20, 50, clicks=True)
    measure(20, 60, 1000, clicks=False, web=1)


if __name__ == "__main__":
    main()
