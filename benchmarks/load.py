"""What the record of a load and its live page cost, how soon it is seen, and a knee that is known, on a real server.

    python -m benchmarks.load

Overhead: visitors who never think ask a server that answers at once, and in the same run, in turns, our record is kept
or what Locust keeps by itself; the ratio of each turn to its neighbour, whose median has an interval. The generator
keeps to one core, which it fills, and the server to the others, so that nothing but the generator's core says how many
requests there are. Once for the record alone, in short turns; then for the whole program, which follows the record,
keeps it and draws it for somebody who follows the page, in turns long enough for all of that to follow: while the
program has the server's cores, and while it has to take what it needs from the generator's own, as where every core
makes load. Of that one core it takes so many times as much as of the machine as the machine has cores. Who follows asks
for what a browser asks for and draws nothing, for browsers stand elsewhere: on two cores, Chromium alone takes a sixth
of one. Beside it the processor time of both, which other work disturbs less.
Lag: from the end of a second to its figures in the page that Chromium shows.
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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import comb
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import Page

from benchmarks.processor import Spent, give_cores
from benchmarks.stack import Stack, stack
from config.demo.person import Person
from tests.interface.browser import open_browser

ROOT = Path(__file__).resolve().parent.parent
LAUNCHER = ROOT / "checks" / "tools" / "loading" / "launch.py"
USERS = 20
KNEE = 8
#: Per cent that the record may cost, and seconds until a second is seen.
LOST_AT_MOST, LAG_AT_MOST = 3, 2
#: Answers at once, after 40 ms in one of four places for /pool, after 20 ms for /steady, and for /changed after 20 ms
#: times its argument.
TARGET = """
import asyncio, os, sys
os.sched_setaffinity(0, {int(core) for core in sys.argv[2].split(",")})
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
#: Visitors who never think, in one process; one turn with our record, the next with what Locust keeps by itself, and
#: which of the two comes first takes turns too. Writes [requests, seconds, processor seconds] of ours, then of theirs.
TAKING_TURNS = """
import json, os, time
import gevent
from locust import FastHttpUser, constant, events, task
LENGTH, LEFT_OUT, ROUNDS, FOUND = %(length)r, %(left_out)r, %(rounds)r, %(found)r
os.sched_setaffinity(0, %(core)r)
class Visitor(FastHttpUser):
    insecure = False
    wait_time = constant(0)
    asked = 0
    @task
    def ask(self):
        with self.client.get("/", name="/", catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure("no")
            else:
                answer.success()
        Visitor.asked += 1
@events.init.add_listener
def begin(environment, **_):
    gevent.spawn(turns, environment)
def turns(environment):
    record = next(one for one in events.request._handlers if one.__qualname__ == "Record.request")
    parts = record.__func__.__globals__
    followed, writer, stats = Visitor.context, parts["WRITER"], environment.stats
    def rounded(request_type, name, response_time, response_length, exception=None, **_):
        stats.log_request(request_type, name, response_time, response_length)
    def switch(ours):
        events.request.remove_listener(rounded if ours else record)
        events.request.add_listener(record if ours else rounded)
        Visitor.context = followed if ours else followed.__wrapped__
        parts["WRITER"] = writer if ours else None
    gevent.sleep(4)
    switch(False)
    found = []
    for number in range(ROUNDS):
        seen = {}
        for ours in (True, False) if number %% 2 else (False, True):
            if ours:
                switch(True)
            gevent.sleep(LEFT_OUT)
            before, began, spent = Visitor.asked, time.monotonic(), time.process_time()
            gevent.sleep(LENGTH)
            seen[ours] = (Visitor.asked - before, time.monotonic() - began, time.process_time() - spent)
            if ours:
                switch(False)
        found.append([*seen[True], *seen[False]])
    switch(True)
    with open(FOUND, "w") as file:
        json.dump(found, file)
    environment.runner.quit()
"""
#: The record's own part of a request: microseconds of its beginning and end, and milliseconds to tell a second.
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
class User:
    def context(self):
        return {}
def ask():
    user = User()
    for _ in latencies:
        user.context()
def quickest(work):
    return min(timeit.repeat(work, timer=time.process_time, number=1, repeat=40)) / len(latencies)
each = quickest(listen) - quickest(ask)
generator.follow_requests(User)
each += quickest(ask)
began = time.process_time()
json.dumps(record.take(1, 1, "1"))
print(each * 1e6, (time.process_time() - began) * 1e3)
"""


#: The generator's own core, and those of everything else; on a machine with one, all share it.
CORES = os.sched_getaffinity(0)
GENERATOR = {max(CORES)}
OTHERS = CORES - GENERATOR or GENERATOR

#: What was shown beyond its limit, or came to something else than is known beforehand.
MISSED: list[str] = []


def show(name: str, value: float, unit: str, beside: str = "", *, at_most: float | None = None) -> None:
    """``at_most``: the limit, which is shown too; a value beyond it makes the benchmark fail."""
    limit = "" if at_most is None else f"limit {at_most:g}{'; ' if beside else ''}"
    missed = at_most is not None and not value <= at_most
    print(f"{name:44} {value:10.3f} {unit:6} {limit}{beside}{'; MISSED' if missed else ''}", flush=True)
    if missed:
        MISSED.append(name)


@contextmanager
def target(slower: float = 1.0) -> Iterator[str]:
    argv = [sys.executable, "-c", TARGET, str(slower), ",".join(map(str, OTHERS))]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as server:
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


@dataclass(frozen=True)
class Turns:
    """``length``: seconds of a turn that count, after ``left_out`` in which the turn before comes to its end."""

    length: float
    left_out: float
    rounds: int

    @property
    def seconds(self) -> float:
        return 2 * self.rounds * (self.length + self.left_out)

    def locustfile(self, found: Path) -> str:
        return TAKING_TURNS % {**vars(self), "found": str(found), "core": GENERATOR}


#: The record alone costs as it goes. What the program does with a second follows within the next one.
RECORD, BESIDE, WHOLE = Turns(0.25, 0, 160), Turns(2, 1, 15), Turns(2, 1, 40)
IDLE_SECONDS = 20


def interval(values: Sequence[float]) -> tuple[float, float]:
    """At least 95 % sure of the median, whatever the values are distributed like: from the least to the most."""
    ordered, size = sorted(values), len(values)
    cut, tail = 0, 1 / 2**size
    while tail <= 0.025:
        cut += 1
        tail += comb(size, cut) / 2**size
    return ordered[cut - 1], ordered[size - cut]


def lost(found: Path, what: str, cores: int = 1) -> list[list[float]]:
    """Show what the turns found; the rounds, without those in which other work left no time for a single request.

    ``cores``: of so many that all make load, only one gave up anything.
    """
    rounds = [row for row in json.loads(found.read_text()) if row[0] and row[3]]
    ratios = [(on / seconds_on) / (off / seconds_off) for on, seconds_on, _, off, seconds_off, _ in rounds]
    middle, least, most = (100 * (1 - ratio) / cores for ratio in (statistics.median(ratios), *interval(ratios)))
    spread = f"{len(rounds)} rounds, 95 % interval {most:.2f} to {least:.2f}"
    show(f"throughput lost to {what}", middle, "%", spread, at_most=LOST_AT_MOST)
    return rounds


def overhead(url: str) -> None:
    """One process of Locust, with and without the record in turns, and the processor time of both."""
    python, parts = tool_python(), urlsplit(url)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "turns.py").write_text(RECORD.locustfile(folder / "found.json"))
        config = folder / "config.json"
        config.write_text(
            json.dumps({
                "host": url, "hostname": parts.hostname, "target_port": parts.port, "mode": "closed", "steps": [USERS],
                "hold": 2 * RECORD.seconds + 60, "requests": [], "locustfile": str(folder / "turns.py"), "think": 0,
                "timeout": 30, "pool": 1, "processes": 1, "port": 0, "workers": None,
            })
        )  # fmt: skip
        subprocess.run(
            [python, "-P", str(LAUNCHER), str(config), str(folder / "record.jsonl")],
            check=True, cwd=folder, stdout=subprocess.DEVNULL,
        )  # fmt: skip
        rounds = lost(folder / "found.json", "the record alone")
        alone = statistics.median(off / seconds for *_, off, seconds, _ in rounds)
        show("requests by Locust alone", alone, "req/s", f"{USERS} visitors, one process")
        costs = [(spent_on / on) / (spent_off / off) for on, _, spent_on, off, _, spent_off in rounds]
        beside = "of the same rounds, and disturbed less by other work"
        added = 100 * (statistics.median(costs) - 1)
        show("processor time added by the record", added, "%", beside, at_most=LOST_AT_MOST)
        cost = statistics.median(spent / off for *_, off, _, spent in rounds)
        listener(python, config, cost)


def listener(python: str, config: Path, request: float) -> None:
    """The record's own processor time, by itself; ``request``: processor seconds of a request without it."""
    done = subprocess.run(
        [python, "-c", LISTENER, str(LAUNCHER.parent)],
        env={**os.environ, "GONOGO_LOAD_CONFIG": str(config)}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    micros, millis = (float(word) for word in done.stdout.split())
    show("processor time of a request by Locust alone", request * 1e6, "us")
    show("processor time of its record", micros, "us")
    show("processor time of its record", micros / request / 1e4, "%", "of the request's", at_most=LOST_AT_MOST)
    show("processor time to tell a second", millis, "ms", "1 % of the second", at_most=10)


def begin(person: Person, where: Stack, check: str) -> int:
    token = next(value for name, value in person.http.cookies.items() if "csrftoken" in name)
    answer = person.http.post(where.path_of(check), data={"csrfmiddlewaretoken": token}, follow_redirects=False)
    if answer.status_code != 302:
        raise RuntimeError(f"the run did not start: {answer.status_code}")
    return int(answer.headers["Location"].rstrip("/").rsplit("/", 1)[1])


#: In the page: the moment at which the figures of each second were there, by its second.
SEEN = """() => {
    window.seen = {};
    setInterval(() => {
        const part = document.querySelector("[data-second]");
        if (part && !(part.dataset.second in window.seen)) window.seen[part.dataset.second] = Date.now() / 1000;
    }, 10);
}"""


@contextmanager
def page_of(person: Person, where: Stack, number: int) -> Iterator[Page]:
    """The run's page in Chromium, with the person's session."""
    with open_browser() as browser:
        context = browser.new_context()
        jar = person.http.cookies.jar
        context.add_cookies([{"name": one.name, "value": one.value or "", "url": where.address} for one in jar])
        page = context.new_page()
        page.goto(f"{where.address}/runs/{number}/")
        page.evaluate(SEEN)
        yield page


def lag(person: Person, where: Stack, check: str, what: str, patience: float) -> None:
    """How old is the end of a second when the page that is open in a browser shows its figures?"""
    number = begin(person, where, check)
    seen: dict[str, float] = {}
    with page_of(person, where, number) as page:
        end = time.monotonic() + patience
        while time.monotonic() < end and person.open(f"/api/runs/{number}").json()["state"] in ("queued", "running"):
            page.wait_for_timeout(1000)
            seen |= page.evaluate("window.seen")
    delays = sorted(moment - float(second) - 1 for second, moment in seen.items())
    person.wait(number, 60)
    show(f"lag of a second on the page, {what}, p50", statistics.median(delays), "s", f"{len(delays)} seconds")
    show(f"lag of a second on the page, {what}, longest", delays[-1], "s", at_most=LAG_AT_MOST)


def whole(person: Person, where: Stack) -> None:
    """The load of the whole program, its page followed, recorded and not in turns; then in a browser, for its lag."""
    found, cores = where.home / "found.json", len(CORES)
    with Spent(where.home, LAUNCHER) as idle:
        time.sleep(IDLE_SECONDS)
    os.sched_setaffinity(0, OTHERS)  # who follows is somewhere else
    # In the second, the generator gives up on its one core all that the program needs, as each would on all of them.
    for turns, its_cores, title, of in (
        (BESIDE, OTHERS, "the program beside it", 1), (WHOLE, GENERATOR, "the program on every core", cores)
    ):  # fmt: skip
        (where.home / "turns.py").write_text(turns.locustfile(found))
        give_cores(where.home, its_cores)
        number = begin(person, where, "turns")
        with Spent(where.home, LAUNCHER) as spent:
            shown = follow(person, where, number)
        lost(found, title, of)
        show("seconds that were shown meanwhile", shown, "", f"of {turns.seconds / 2:.0f} that were recorded")
    added = (spent.processor - idle.processor / idle.seconds * spent.seconds) / (WHOLE.seconds / 2) / cores
    what = f"of all {cores} cores, for each second that is recorded and shown"
    show("processor time of the program around it", 100 * added, "%", what, at_most=LOST_AT_MOST)
    os.sched_setaffinity(0, CORES)
    give_cores(where.home, CORES)
    (where.home / "turns.py").write_text(replace(WHOLE, rounds=8).locustfile(found))
    lag(person, where, "turns", "at full speed", 2 * WHOLE.seconds)


def follow(person: Person, where: Stack, number: int) -> int:
    """As an open page does: listen, and ask for the part after each ring. How many seconds it was shown."""
    seconds = set()
    rings = person.http.stream("GET", f"{where.address}/runs/{number}/log/stream", timeout=60)
    with rings as answer:
        for line in answer.iter_lines():
            if line in ("event: progress", "event: state"):
                part = person.http.get(
                    f"{where.address}/runs/{number}/?part=progress", headers={"HX-Request": "true"}
                ).text
                seconds |= set(re.findall(r'data-second="([0-9.]+)"', part))
            elif line == "event: sealed":
                break
    person.wait(number, 60)
    return len(seconds)


def knee(person: Person, where: Stack) -> None:
    number = begin(person, where, "knee")
    person.wait(number, 200)
    text = re.sub(r"<[^>]+>", "", person.open(f"/runs/{number}/").text)
    found = re.search(r"The knee is at (\d+) users", text)
    users = float(found[1]) if found else 0
    show("knee of a pool of four", users, "users", f"known: {KNEE}, steps of 2")
    show("knee of a pool of four, off by", abs(users - KNEE), "users", "a step", at_most=2)
    if pool := re.search(r"About (\d+) requests were worked on at once", text):
        show("size of its pool, by Little's law", float(pool[1]), "", "known: 4")


def comparison(person: Person, where: Stack, check: str, expected: str, says: str) -> None:
    """Five short runs on each side, taking turns; ``says``: what is known beforehand."""
    number = begin(person, where, check)
    ended = person.wait(number, 300)
    print(f"{ended['title']:44} {ended['state']:>10} {'':6} known: {expected}, {says}. {ended['summary']}", flush=True)
    if ended["state"] != expected:
        MISSED.append(str(ended["title"]))


def main() -> int:
    print(f"load of this machine, of the last minute: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", flush=True)
    with target(1.15) as url, target() as rival:
        overhead(url)
        with stack(1, 1, url, rival) as where:
            person = Person(where.address, "engineer@gonogo.example", where.password)
            lag(person, where, "load", "at ease", 120)
            whole(person, where)
            knee(person, where)
            comparison(person, where, "same", "passed", "20 ms on both sides")
            comparison(person, where, "slower", "failed", "23 ms after 20 ms")
    if MISSED:
        print(f"Missed: {', '.join(MISSED)}", flush=True)
    return 1 if MISSED else 0


if __name__ == "__main__":
    sys.exit(main())
