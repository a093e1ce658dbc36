"""What the record of a load costs and how soon it is seen; and a knee that is known, found on a real server.

    python -m benchmarks.load

Overhead: one process of Locust against a server that answers at once, half a second with our record and half a second
without, in turns; and the record's own processor time beside that of a request, which other work disturbs less.
Lag: from the end of a second to its figures in the page's live part, fetched as a browser does, on the run's bell.
Knee: a pool of four, 40 ms each, and users who think 40 ms: eight users. Comparison: with a server that is as
fast, and with one that was 15 % faster.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.stack import Stack, stack
from config.demo.person import Person

ROOT = Path(__file__).resolve().parent.parent
LAUNCHER = ROOT / "checks" / "tools" / "loading" / "launch.py"
ROUNDS, USERS = 40, 20
KNEE = 8
#: Answers at once, after 40 ms in one of four places for /pool, after 20 ms for /steady, and for /changed after 20 ms
#: times its argument.
TARGET = """
import asyncio, sys
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\nContent-Type: text/plain\\r\\n\\r\\nok"
async def serve(reader, writer):
    try:
        while (head := await reader.readuntil(b"\\r\\n\\r\\n")):
            if head.startswith(b"GET /pool"):
                async with places:
                    await asyncio.sleep(0.04)
            elif head.startswith(b"GET /steady"):
                await asyncio.sleep(0.02)
            elif head.startswith(b"GET /changed"):
                await asyncio.sleep(0.02 * float(sys.argv[1]))
            writer.write(ANSWER)
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()
async def main():
    global places
    places = asyncio.Semaphore(4)
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
asyncio.run(main())
"""
#: Visitors who never think, half a second with the record and half a second without, in one process; which of the two
#: comes first takes turns. Writes [requests, seconds, processor seconds] on, then off, of each round.
TAKING_TURNS = """
import json, os, time
import gevent
from locust import FastHttpUser, constant, events, task
class Visitor(FastHttpUser):
    insecure = False
    wait_time = constant(0)
    @task
    def ask(self):
        with self.client.get("/", name="/", catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure("no")
            else:
                answer.success()
@events.init.add_listener
def begin(environment, **_):
    gevent.spawn(turns, environment)
def turns(environment):
    record = next(one for one in events.request._handlers if one.__qualname__ == "Record.request")
    events.request.remove_listener(record)
    gevent.sleep(3)
    found = []
    for number in range(int(os.environ["ROUNDS"])):
        seen = {}
        for on in (True, False) if number % 2 else (False, True):
            if on:
                events.request.add_listener(record)
            before, began, spent = environment.stats.total.num_requests, time.monotonic(), time.process_time()
            gevent.sleep(0.5)
            seen[on] = (environment.stats.total.num_requests - before, time.monotonic() - began,
                        time.process_time() - spent)
            if on:
                events.request.remove_listener(record)
        found.append([*seen[True], *seen[False]])
    with open(os.environ["FOUND"], "w") as file:
        json.dump(found, file)
"""
#: The record's own part of a request: microseconds of its listener, and milliseconds to tell a second.
LISTENER = """
import json, random, sys, time, timeit
sys.path.insert(0, sys.argv[1])
import generator
class Answer:
    status_code = 200
answer, record = Answer(), generator.Record()
latencies = [random.lognormvariate(1, 0.5) for _ in range(10_000)]
def listen():
    for one in latencies:
        record.request(request_type="GET", name="/", response_time=one, response_length=2, response=answer,
                       context={}, exception=None, start_time=0.0, url="/")
each = min(timeit.repeat(listen, number=1, repeat=15)) / len(latencies)
began = time.process_time()
json.dumps(record.take(1, 1, "1"))
print(each * 1e6, (time.process_time() - began) * 1e3)
"""


def show(name: str, value: float, unit: str, limit: str) -> None:
    print(f"{name:44} {value:10.3f} {unit:6} {limit}", flush=True)


@contextmanager
def target(slower: float = 1.0) -> Iterator[str]:
    with subprocess.Popen([sys.executable, "-c", TARGET, str(slower)], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}"
        finally:
            server.kill()


def tool_python() -> str:
    """The Python of Locust's environment, which is made here where it is missing."""
    made = subprocess.run(
        [sys.executable, "manage.py", "install_tools", "load"],
        cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    return str(Path(made.stdout.split()[-1]) / "bin" / "python")


def overhead(url: str) -> None:
    """One process of Locust, each half second with or without the record: the ratio of both, and its median."""
    python, parts = tool_python(), urlsplit(url)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "turns.py").write_text(TAKING_TURNS)
        config = folder / "config.json"
        config.write_text(
            json.dumps({
                "host": url, "hostname": parts.hostname, "target_port": parts.port, "mode": "closed", "steps": [USERS],
                "hold": ROUNDS + 6, "requests": [], "locustfile": str(folder / "turns.py"), "think": 0,
                "timeout": 30, "pool": 1, "processes": 1, "port": 0, "workers": None,
            })
        )  # fmt: skip
        subprocess.run(
            [python, "-P", str(LAUNCHER), str(config), str(folder / "record.jsonl")],
            env={**os.environ, "ROUNDS": str(ROUNDS), "FOUND": str(folder / "found.json")},
            check=True, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        rounds = json.loads((folder / "found.json").read_text())
        ratios = [(on / seconds_on) / (off / seconds_off) for on, seconds_on, _, off, seconds_off, _ in rounds]
        alone = statistics.median(off / seconds for *_, off, seconds, _ in rounds)
        quarters = statistics.quantiles(ratios, n=4)
        show("requests without the record", alone, "req/s", f"{ROUNDS} rounds")
        spread = f"limit 3; middle half of the rounds {100 * (1 - quarters[2]):.1f} to {100 * (1 - quarters[0]):.1f}"
        show("throughput lost to the record", 100 * (1 - statistics.median(ratios)), "%", spread)
        costs = [(spent_on / on) / (spent_off / off) for on, _, spent_on, off, _, spent_off in rounds]
        beside = "limit 3; of the same rounds, and disturbed less by other work"
        show("processor time added by the record", 100 * (statistics.median(costs) - 1), "%", beside)
        cost = statistics.median(spent / off for *_, off, _, spent in rounds)
        listener(python, config, cost)


def listener(python: str, config: Path, request: float) -> None:
    """The record's own processor time, by itself; ``request``: processor seconds of a request without it."""
    done = subprocess.run(
        [python, "-c", LISTENER, str(LAUNCHER.parent)],
        env={**os.environ, "GONOGO_LOAD_CONFIG": str(config)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    micros, millis = (float(word) for word in done.stdout.split())
    show("processor time of a request without it", request * 1e6, "us", "")
    show("processor time of its record", micros, "us", f"limit 3 % of that, it is {micros / request / 1e4:.2f} %")
    show("processor time to tell a second", millis, "ms", "limit 10, 1 % of the second")


def begin(person: Person, where: Stack, check: str) -> int:
    token = next(value for name, value in person.http.cookies.items() if "csrftoken" in name)
    answer = person.http.post(where.path_of(check), data={"csrfmiddlewaretoken": token}, follow_redirects=False)
    if answer.status_code != 302:
        raise RuntimeError(f"the run did not start: {answer.status_code}")
    return int(answer.headers["Location"].rstrip("/").rsplit("/", 1)[1])


def lag(person: Person, where: Stack) -> None:
    """On each bell the live part is fetched, as the page does; how old is the end of its newest second?"""
    number = begin(person, where, "load")
    seen: dict[float, float] = {}
    with person.http.stream("GET", f"/runs/{number}/log/stream", timeout=60) as stream:
        for line in stream.iter_lines():
            if line.startswith("event: sealed"):
                break
            if line.startswith("event: state"):
                part = person.http.get(f"/runs/{number}/?part=live", headers={"HX-Request": "true"}).text
                if newest := re.search(r'data-second="([\d.]+)"', part):
                    seen.setdefault(float(newest[1]), time.time() - float(newest[1]) - 1)
    delays = sorted(seen.values())
    person.wait(number, 60)
    show("lag of a second on the page, p50", statistics.median(delays), "s", f"{len(delays)} seconds")
    show("lag of a second on the page, longest", delays[-1], "s", "limit 2")


def knee(person: Person, where: Stack) -> None:
    number = begin(person, where, "knee")
    person.wait(number, 200)
    text = re.sub(r"<[^>]+>", "", person.open(f"/runs/{number}/").text)
    found = re.search(r"The knee is at (\d+) users", text)
    show("knee of a pool of four", float(found[1]) if found else 0, "users", f"known: {KNEE}, steps of 2")
    if pool := re.search(r"About (\d+) requests were worked on at once", text):
        show("size of its pool, by Little's law", float(pool[1]), "", "known: 4")


def comparison(person: Person, where: Stack, check: str, expected: str, says: str) -> None:
    """Five short runs on each side, taking turns; ``says``: what is known beforehand."""
    number = begin(person, where, check)
    ended = person.wait(number, 300)
    print(f"{ended['title']:44} {ended['state']:>10} {'':6} known: {expected}, {says}. {ended['summary']}", flush=True)


def main() -> None:
    with target(1.15) as url, target() as rival:
        overhead(url)
        with stack(1, 1, url, rival) as where:
            person = Person(where.address, "engineer@gonogo.example", where.password)
            lag(person, where)
            knee(person, where)
            comparison(person, where, "same", "passed", "20 ms on both sides")
            comparison(person, where, "slower", "failed", "23 ms after 20 ms")


if __name__ == "__main__":
    main()
