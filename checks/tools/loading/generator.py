"""The locustfile behind every load: steps, arrivals, an exact record of each second, and the scenario of the plan.

Loaded by Locust in a child (see launch.py) and never imported by ours. Workers on other machines get it from the child,
with its configuration written into it; it needs Locust and nothing else. Lines of JSON are appended to the record:

    {"workers": 2}                                                      so many came until now, from other machines
    {"begin": 1764000000.1}                                             the schedule begins
    {"second": 1764000003, "worker": "a", "users": 5, "cpu": 0.12, "intended": 20, "started": 20,
     "endpoints": {"/": [[2310, 4, 2312, 1], failed, server errors]}, "failures": {"...": 2}, "elsewhere": {"host": 1},
     "waiting": {"/": [180000, 1]}, "refused": 1, "held_back": 0, "broken": {"KeyError: 'a'": 1}}
    {"end": "done"}

Latencies are microseconds and how often each came, in the buckets of an HdrHistogram of three digits; the program makes
histograms of them, since here every microsecond is taken from the load. In open mode arrivals come on a fixed schedule
and a latency counts from the intended time, so that a stall delays everything that came meanwhile. ``waiting`` are the
requests under way when the second ended, by what they had waited; those that were only just sent, and arrivals that no
user took yet, have the name "". ``refused``: answers of 400 and more that a locustfile counted as good; ``broken``: why
its users broke off what they did; ``held_back``: requests that waited because more was asked than may be.
"""

import functools
import json
import os
import random
import socket
import time
from collections import Counter, defaultdict
from itertools import accumulate
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import gevent
import gevent.queue
import locust
from locust import FastHttpUser, LoadTestShape, events
from locust.clients import HttpSession
from locust.contrib.fasthttp import FastHttpSession
from locust.exception import StopUser
from locust.runners import STATE_INIT, MasterRunner, WorkerRunner
from locust.user.task import LOCUST_STATE_RUNNING, LOCUST_STATE_STOPPING, LOCUST_STATE_WAITING, TaskSet

MICROSECONDS_AT_MOST = 600_000_000
#: Of an HdrHistogram of three digits: 2,048 values to a bucket, each twice as wide as in the bucket before.
BITS = 11
#: launch.py writes the file's content here, in the copy that workers on other machines get.
CONFIG: dict[str, Any] = json.loads(Path(os.environ["GONOGO_LOAD_CONFIG"]).read_text(encoding="utf-8"))


def level_at(elapsed: float) -> float | None:
    """The load of the step under way; None when all steps are over."""
    step = int(elapsed // CONFIG["hold"])
    return float(CONFIG["steps"][step]) if elapsed >= 0 and step < len(CONFIG["steps"]) else None


def bucket(micros: int) -> int:
    """The least value of the bucket in which an HdrHistogram counts this one."""
    if micros < 1 << BITS:
        return micros
    shift = micros.bit_length() - BITS
    return (min(micros, MICROSECONDS_AT_MOST) >> shift) << shift


def processor_time() -> float:
    """Seconds of a core that this thread used, or was ready to use while others did.

    Both make it slow, so that it measures itself; by the first alone one that gets a third of a core looks idle.
    """
    try:
        used, waited = Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[:2]
        return (int(used) + int(waited)) / 1_000_000_000
    except (OSError, ValueError):
        return time.process_time()


class Cell:
    """What one endpoint answered in the second under way. ``counts``: the least microseconds of a bucket -> answers."""

    __slots__ = ("counts", "failed", "server_errors")

    def __init__(self) -> None:
        self.counts: dict[int, int] = {}
        self.failed = 0
        self.server_errors = 0

    def as_json(self) -> list[Any]:
        return [[number for pair in self.counts.items() for number in pair], self.failed, self.server_errors]


class Record:
    """Everything of the second under way in this process."""

    def __init__(self) -> None:
        self.cells: defaultdict[str, Cell] = defaultdict(Cell)
        self.failures: Counter[str] = Counter()
        self.elsewhere: Counter[str] = Counter()
        self.broken: Counter[str] = Counter()
        self.refused = 0
        self.held_back = 0
        self.intended = 0
        self.started = 0
        self.processor = processor_time()
        self.clock = time.monotonic()

    def request(self, name: str, response_time: float, exception: Any, response: Any = None, **_: Any) -> None:
        """Locust's event of a finished request; ``response_time`` in milliseconds."""
        UNDER_WAY.pop(gevent.getcurrent(), None)
        self.add(name, int(response_time * 1000), exception, response)

    def arrived(self, name: str, response_time: float, exception: Any, response: Any = None, **_: Any) -> None:
        """The same in open mode: the first request of an arrival counts from the time that was intended."""
        current = gevent.getcurrent()
        UNDER_WAY.pop(current, None)
        late = getattr(current, "gonogo_late", 0.0)
        current.gonogo_late = 0.0
        self.add(name, int(response_time * 1000 + late * 1_000_000), exception, response)

    def add(self, name: str, micros: int, exception: Any, response: Any) -> None:
        cell = self.cells[name]
        if micros >= 1 << BITS:
            micros = bucket(micros)
        counts = cell.counts
        counts[micros] = counts.get(micros, 0) + 1
        if exception is not None:
            cell.failed += 1
            self.failures[f"{name}: {exception}"[:200]] += 1
        # A connection that failed has the status 0; what is not of HTTP has none.
        status = getattr(response, "status_code", None)
        if status is not None and not 0 < status < 400:
            if status >= 500:
                cell.server_errors += 1
            if exception is None and CONFIG["locustfile"]:
                self.let_pass(name, status)

    def let_pass(self, name: str, status: int) -> None:
        """A locustfile calls this good. An error of the server, or no answer, is a failure; a refusal may be meant."""
        if 400 <= status < 500:
            self.refused += 1
        else:
            self.cells[name].failed += 1
            what = f"answered {status}" if status else "no answer"
            self.failures[f"{name}: {what}, which the locustfile counts as good"[:200]] += 1

    def breaks_off(self, exception: BaseException, **_: Any) -> None:
        """Locust's event of a user whose task ended by an exception: what it would have asked was not asked."""
        self.broken[f"{type(exception).__name__}: {exception}"[:200]] += 1

    def take(self, second: int, users: int, worker: str) -> dict[str, Any]:
        """The second that is over, in the shape of the file; a new one begins."""
        processor, clock = processor_time(), time.monotonic()
        share = max(0.0, processor - self.processor) / max(clock - self.clock, 0.001)
        cells, self.cells = self.cells, defaultdict(Cell)
        failures, self.failures = self.failures, Counter()
        line = {
            "second": second, "worker": worker, "users": users, "cpu": round(share, 4), "intended": self.intended,
            "started": self.started, "failures": dict(failures.most_common(10)), "elsewhere": dict(self.elsewhere),
            "endpoints": {name: cell.as_json() for name, cell in cells.items()}, "waiting": waiting(),
            "refused": self.refused, "held_back": self.held_back, "broken": dict(self.broken.most_common(10)),
        }  # fmt: skip
        self.intended = self.started = self.refused = self.held_back = 0
        self.elsewhere.clear()
        self.broken.clear()
        self.processor, self.clock = processor, clock
        return line


RECORD = Record()

# --- what is not answered yet ----------------------------------------------------------------------------------------

#: Requests under way in this process: who asks -> when it began (monotonic).
UNDER_WAY: dict[Any, float] = {}
#: Arrivals that no user took yet, by their intended time.
ARRIVALS: Any = gevent.queue.SimpleQueue()
#: Requests that waited no longer than this need no name yet.
YOUNG_SECONDS = 0.1
_REQUESTS = frozenset(each.request.__code__ for each in (FastHttpSession, HttpSession))


def follow_requests(user: Any) -> None:
    """Know of requests from their beginning: one that is never answered has no end that would tell of it.

    Locust asks a user for the context of each request, just before it sends it.
    """
    real, who, now = user.context, gevent.getcurrent, time.monotonic

    @functools.wraps(real)
    def context(self: Any) -> Any:
        if CONFIG["at_most"]:
            keep_to_consent()
        UNDER_WAY[who()] = now()
        return real(self)

    user.context = context


#: When the next request may be made (monotonic), where so many a second were consented to.
NEXT = [0.0]


def keep_to_consent() -> None:
    """A locustfile asks more than once for an arrival. Nobody consented to more than ``at_most``: then it waits."""
    now, gap = time.monotonic(), 1 / CONFIG["at_most"]
    # What was not used within a second is gone.
    due = max(NEXT[0], now - 1 + gap)
    NEXT[0] = due + gap
    if due > now:
        RECORD.held_back += 1
        gevent.sleep(due - now)


def request_of(greenlet: Any) -> str | None:
    """The name of the request in which a greenlet waits; None where it waits in none."""
    frame = greenlet.gr_frame
    while frame is not None:
        if frame.f_code in _REQUESTS:
            return str(frame.f_locals["name"] or frame.f_locals["url"])
        frame = frame.f_back
    return None


def waiting() -> dict[str, list[int]]:
    """Name -> microseconds waited so far and how many, in turns; in open mode from the intended time."""
    now, found = time.monotonic(), defaultdict[str, Counter[int]](Counter)
    for who, began in list(UNDER_WAY.items()):
        name = request_of(who) if now - began > YOUNG_SECONDS else ""
        if name is None:
            del UNDER_WAY[who]  # it was broken off
            continue
        waited = now - began + getattr(who, "gonogo_late", 0.0)
        found[name][bucket(max(1, int(waited * 1_000_000)))] += 1
    for due in ARRIVALS.queue:
        found[""][bucket(max(1, int((now - due) * 1_000_000)))] += 1
    return {name: [number for pair in counts.items() for number in pair] for name, counts in found.items()}


# --- nothing but the target is asked ---------------------------------------------------------------------------------


def connect_only_to_target() -> None:
    """Names are resolved for the target alone: its host and port, or its https beside the usual http."""
    allowed = {(CONFIG["hostname"], CONFIG["target_port"])}
    if CONFIG["target_port"] == 80:
        allowed.add((CONFIG["hostname"], 443))
    real = gevent.socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else str(host or "")
        if (name.lower().rstrip("."), int(port or 0)) not in allowed:
            RECORD.elsewhere[f"{name}:{port}"[:200]] += 1
            raise socket.gaierror(socket.EAI_NONAME, f"{name}:{port} is not the server under test")
        return real(host, port, *args, **kwargs)

    for module in (gevent.socket, socket):
        setattr(module, "getaddrinfo", resolve)  # noqa: B010 - a module's function, replaced on purpose


# --- the record, once a second ---------------------------------------------------------------------------------------


class Writer:
    """The file that the program follows. Only the master, or the one process, writes it."""

    def __init__(self) -> None:
        self.file = Path(os.environ["GONOGO_LOAD_RECORD"]).open("a", encoding="utf-8", buffering=1)  # noqa: SIM115 - open until the process ends

    def write(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line, separators=(",", ":")) + "\n")


WRITER: Writer | None = None


def drop_rounded_figures() -> None:
    """Locust's own statistics cost more than this record, and nobody reads them: no table is printed."""
    for listener in list(events.request._handlers):
        if listener.__module__ == "locust.runners":
            events.request.remove_listener(listener)


def report_each_second(runner: Any) -> None:
    """Each process says at each full second what it saw; a worker says it to the master."""
    worker = getattr(runner, "client_id", "1")
    while True:
        now = time.time()
        second = int(now)
        gevent.sleep(second + 1 - now)
        line = RECORD.take(second, runner.user_count, worker)
        if isinstance(runner, WorkerRunner):
            runner.send_message("gonogo-second", line)
        elif WRITER is not None:
            WRITER.write(line)


def written(environment: Any, msg: Any, **_: Any) -> None:
    """What a worker says of its second."""
    if WRITER is not None:
        WRITER.write(msg.data)


def tell_workers(runner: Any) -> None:
    """Say how many workers of other machines are there, whenever that changes before the schedule begins."""
    told = 0
    while runner.state == STATE_INIT:
        if WRITER is not None and len(runner.clients.ready) != told:
            told = len(runner.clients.ready)
            WRITER.write({"workers": told})
        gevent.sleep(0.2)


@events.init.add_listener
def begin(environment: Any, runner: Any, **_: Any) -> None:
    global WRITER  # noqa: PLW0603 - one for the process, made after the workers were forked
    connect_only_to_target()
    if isinstance(runner, MasterRunner):
        WRITER = Writer()
        runner.register_message("gonogo-second", written)
        if CONFIG["workers"]:
            gevent.spawn(tell_workers, runner)
    else:
        if not isinstance(runner, WorkerRunner):
            WRITER = Writer()
        drop_rounded_figures()
        events.request.add_listener(RECORD.arrived if CONFIG["mode"] == "open" else RECORD.request)
        events.user_error.add_listener(RECORD.breaks_off)
        for user in environment.user_classes:
            follow_requests(user)
        gevent.spawn(report_each_second, runner)
    if isinstance(runner, WorkerRunner):
        runner.register_message("gonogo-arrivals", lambda environment, msg, **_: start_arrivals(**msg.data))
    if CONFIG["mode"] == "open":
        take_arrivals()


# --- steps -----------------------------------------------------------------------------------------------------------


class Steps(LoadTestShape):
    """Closed mode: so many users. Open mode: a pool of users that serve arrivals."""

    began = False

    def tick(self) -> tuple[int, float] | None:
        elapsed = self.get_run_time()
        if not self.began:
            self.began = True
            self._announce(time.time() - elapsed)
        level = level_at(elapsed)
        if level is None:
            if WRITER is not None:
                WRITER.write({"end": "done"})
            return None
        if CONFIG["mode"] == "open":
            # What users do when they begin, such as logging in, comes no quicker than what they then do.
            return int(CONFIG["pool"]), max(level, 1.0)
        return int(level), max(level, 1.0)

    def _announce(self, at: float) -> None:
        assert WRITER is not None
        WRITER.write({"begin": at})
        if CONFIG["mode"] != "open":
            return
        if isinstance(self.runner, MasterRunner):
            workers = [worker.id for worker in self.runner.clients.values() if worker.state != "missing"]
            for place, worker in enumerate(workers):
                self.runner.send_message("gonogo-arrivals", {"place": place, "of": len(workers)}, client_id=worker)
        else:
            start_arrivals(0, 1)


# --- open mode -------------------------------------------------------------------------------------------------------


def start_arrivals(place: int, of: int) -> None:
    gevent.spawn(arrive, place, of)


def arrive(place: int, of: int) -> None:
    """Put the intended time of each arrival into the queue, on a fixed schedule that nothing slows down."""
    began = time.monotonic()
    for number, load in enumerate(CONFIG["steps"]):
        start, gap = began + number * CONFIG["hold"], of / load
        due = start + gap * (place + 0.5) / of
        while due < start + CONFIG["hold"]:
            wait = due - time.monotonic()
            if wait > 0:
                gevent.sleep(wait)
            RECORD.intended += 1
            ARRIVALS.put(due)
            due += gap


def take_arrivals() -> None:
    """Users do one task for each arrival, and wait for nothing else."""
    real = TaskSet.execute_next_task

    def execute_next_task(self: TaskSet) -> None:
        following = self._task_queue[0]
        if not (isinstance(following, type) and issubclass(following, TaskSet)):
            self.user._state = LOCUST_STATE_WAITING
            due = ARRIVALS.get()
            if self.user._state == LOCUST_STATE_STOPPING:
                raise StopUser
            self.user._state = LOCUST_STATE_RUNNING
            RECORD.started += 1
            gevent.getcurrent().gonogo_late = max(0.0, time.monotonic() - due)
        real(self)

    def wait(self: TaskSet) -> None:
        if self.user._state == LOCUST_STATE_STOPPING:
            raise StopUser

    TaskSet.execute_next_task = execute_next_task
    TaskSet.wait = wait


# --- the scenario of the plan ----------------------------------------------------------------------------------------

if not CONFIG["locustfile"]:
    REDIRECTS = frozenset({301, 302, 303, 307, 308})

    def led_to(url: str, path: str) -> str:
        """Where an answer came from in the end; '' where that is what was asked."""
        ended, asked = (unquote(urlsplit(each).path) or "/" for each in (url, CONFIG["host"] + path))
        return ended if ended != asked else ""

    WEIGHTS = list(accumulate(entry["weight"] for entry in CONFIG["requests"]))

    class Visitor(FastHttpUser):
        """Asks the declared addresses, each as often as its weight says."""

        network_timeout = connection_timeout = CONFIG["timeout"]
        insecure = False

        def wait_time(self) -> float:
            return random.expovariate(1 / CONFIG["think"]) if CONFIG["think"] else 0.0

        @locust.task
        def ask(self) -> None:
            one = random.choices(CONFIG["requests"], cum_weights=WEIGHTS)[0]  # noqa: S311 - a mix, no secret
            # Where a redirect is what is declared, it is not followed.
            followed = one["status"] not in REDIRECTS
            with self.client.get(
                one["path"], name=one["name"], allow_redirects=followed, catch_response=True
            ) as answer:
                if answer.status_code != one["status"]:
                    answer.failure(f"answered {answer.status_code or answer.error}, expected {one['status']}")
                elif one.get("ends") is not None and led_to(answer.url, one["path"]) not in ("", *one["ends"]):
                    answer.failure(f"led to {led_to(answer.url, one['path'])}, where no address led before the load")
                elif one["text"] and one["text"] not in (answer.text or ""):
                    answer.failure("the declared text is not in the answer")
                else:
                    answer.success()
