"""From nothing to a ready address: servers, preparation, web, then the other parts."""

import hashlib
import http.client
import os
import sys
import time
from signal import SIGINT, SIGTERM
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from config import env
from config.services.errors import ServiceError
from config.services.guard import guarded
from config.services.home import BASE_DIR, Home
from config.services.parts import Part, program_parts, python_part
from config.services.ports import free_port, is_free
from config.services.postgres import Postgres
from config.services.redis import RedisServer
from config.services.supervisor import StopAsked, Supervisor
from config.services.sweep import MARK, sweep_marked

PREPARE_WITHIN_SECONDS = 300.0
WEB_WITHIN_SECONDS = 60.0
ROLE = "gonogo"


def up(home: Home) -> int:
    """Check what can be checked at once, then run in the foreground until stopped. Returns the exit status."""
    begun = time.monotonic()
    host, port = env.text("GONOGO_BIND", "127.0.0.1"), env.integer("GONOGO_PORT", 8000, least=1, most=65535)
    home.prepare()
    home.lock()
    # What an earlier runner wrote must not be taken for this one's.
    home.write(home.status, {"state": "starting", "pid": os.getpid(), "parts": {}})
    home.check_space()
    os.environ[MARK] = str(home.root)
    os.environ["GONOGO_HOME"] = str(home.root)
    left = sweep_marked(home.root)
    if left:
        _say(f"Ended {left} processes which an earlier run had left behind.")
    if not is_free(port, host):
        raise ServiceError(
            f"Port {port} of {host} is taken by another program. Nothing was started. "
            f"Stop that program, or choose another port: GONOGO_PORT={port + 1} make up."
        )
    return guarded(lambda: _supervise(home, host, port, begun))


def _say(text: str) -> None:
    print(text, flush=True)


def _supervise(home: Home, host: str, port: int, begun: float) -> int:
    supervisor = Supervisor(home, _say, url=env.text("PUBLIC_URL", f"http://{host}:{port}"))
    supervisor.listen_to_signals()
    problem = ""
    try:
        start_everything(supervisor, host, port)
        _greet(home, supervisor.url, time.monotonic() - begun)
        supervisor.run()
    except StopAsked:
        _say("Stopping …")
    except (ServiceError, ImproperlyConfigured, OSError) as error:
        problem = str(error)
    finally:
        supervisor.stop()
    if problem:
        print(problem, file=sys.stderr, flush=True)
        return 1
    _say("Stopped. Nothing is left running.")
    return 0


def start_everything(supervisor: Supervisor, host: str, port: int) -> None:
    """Start what is needed, in order; return when the address answers and every part has been started.

    The web server waits for the preparation only when there is something new to prepare.
    """
    home = supervisor.home
    variables = _start_servers(supervisor)
    home.write(home.addresses, variables)
    digest = prepared_digest()
    is_settled = home.read(home.prepared).get("digest") == digest
    preparation = supervisor.begin(python_part("prepare", ["-m", "config.services.prepare"], variables))
    web, *others = program_parts(host, port, variables)
    if is_settled:
        supervisor.add(web)
    supervisor.finish(preparation, within=PREPARE_WITHIN_SECONDS)
    home.write(home.prepared, {"digest": digest})
    if not is_settled:
        supervisor.add(web)
    supervisor.wait_for(
        lambda: web_is_ready(host, port),
        within=WEB_WITHIN_SECONDS,
        problem=f"The web server did not become ready within {WEB_WITHIN_SECONDS:.0f} s; see {home.logs / 'web.log'}.",
    )
    for part in others:
        supervisor.add(part)


def prepared_digest() -> str:
    """Return what tells whether the database and the static files may need preparing: code, migrations, packages."""
    files = [*BASE_DIR.glob("*/migrations/*.py"), *BASE_DIR.glob("*/*_sql/*.sql"), *BASE_DIR.glob("static/**/*")]
    facts = hashlib.sha256((BASE_DIR / "requirements" / "base.txt").read_bytes())
    for name in ("DATABASE_URL", "STATIC_ROOT"):
        facts.update(env.text(name).encode())
    for file in sorted(files):
        facts.update(f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}\n".encode())
    return facts.hexdigest()


def _start_servers(supervisor: Supervisor) -> dict[str, str]:
    """Start PostgreSQL and Redis where no address names others; return the variables the program needs."""
    home = supervisor.home
    variables = {"PUBLIC_URL": supervisor.url}
    remembered = home.read(home.root / "ports.json")
    ports = {name: _port(remembered.get(name)) for name in ("postgres", "redis")}
    home.write(home.root / "ports.json", ports)
    redis = RedisServer(home.redis, ports["redis"], home.secret("LOCAL_REDIS_PASSWORD"))
    postgres = Postgres(home.postgres, ports["postgres"], home.secret("LOCAL_POSTGRES_PASSWORD"), {})
    if not env.text("REDIS_URL"):
        variables["REDIS_URL"] = redis.url
        supervisor.add(Part("redis", redis.start, SIGTERM, is_server=True, answers=redis.answers))
    if not env.text("DATABASE_URL"):
        password = home.secret("LOCAL_DATABASE_PASSWORD")
        variables["DATABASE_URL"] = postgres.url(ROLE, user=ROLE, password=password)
        if postgres.initialise():
            _say(f"Made a new PostgreSQL data folder in {home.postgres}.")
        supervisor.add(Part("postgres", postgres.start, SIGINT, is_server=True, answers=postgres.answers))
    for child in list(supervisor.children):
        answers = child.part.answers
        assert answers is not None
        supervisor.wait_for(answers, within=60, problem=f"{child.name} did not answer; see {child.log.path}.")
    if "DATABASE_URL" in variables:
        postgres.ensure_role_and_database(ROLE, password)
    return variables


def _port(remembered: Any) -> int:
    """Keep a port between runs while it is free, so that addresses written down elsewhere stay good."""
    if isinstance(remembered, int) and is_free(remembered):
        return remembered
    return free_port()


def web_is_ready(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/healthz/ready", headers={"Host": "127.0.0.1", "X-Forwarded-Proto": "https"})
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _greet(home: Home, url: str, seconds: float) -> None:
    _say(f"\nGo/No-Go is ready at {url} after {seconds:.1f} s.\n")
    for line in log_ins(home):
        _say(line)
    _say(f"\nPasswords are kept in {home.passwords}, logs in {home.logs}. Ctrl-C stops everything.")


def log_ins(home: Home) -> list[str]:
    """Return one line, address and password, for each account of the default workspace."""
    kept = home.read(home.passwords)
    width = max(map(len, kept), default=0)
    return [f"  {address:<{width}}  {password}" for address, password in kept.items()]
