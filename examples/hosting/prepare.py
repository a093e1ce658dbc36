"""Bring an example to the state before its release: both environments run the old version, with data.

Called by `examples/<name>/ops/prepare.py [--anew]`. Uses the very steps of a deployment. May be repeated: what exists
is kept, and an environment that runs another version by now is refused. With `--anew` the servers are stopped, and
databases and folders are removed first; only the cache of installed builds stays.

Reads from its environment:
    GONOGO_DEMO_DSN   a role of a PostgreSQL server that may make roles and databases
    HOSTING_ROOT      folder for the environments of this example; the host is started on the same one
    STAGING_PORT, PRODUCTION_PORT   where the two answer, on 127.0.0.1; with TLS ten above, where the example has it
    APP_CACHE         where virtual environments are kept, by digest (HOSTING_ROOT/cache where it is not given)
    HOSTING_WITH_PID  the host ends when this process does (it runs on for ever where it is not given)
    PYTHON            the Python for the virtual environments (this one where it is not given)

Writes into HOSTING_ROOT, for its owner only:
    environments.json   for `staging` and `production` the variables and secrets that the plan refers to, and the
                        address; as `build` the version, digest and file of what both run
    python, pip.conf    the Python for virtual environments, and where pip finds packages (what PIP_* and the proxy
                        variables said here), so that a deployment, which sees only what its plan names, uses the same
"""

import hashlib
import json
import os
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from home import DIGEST_PREFIX, Home, OpsError, need, read_json, short_digest, write_atomically

HOSTING = Path(__file__).resolve().parent
ENVIRONMENTS = ("staging", "production")
# So far above its own port an environment answers with TLS; the plans and checks/examples.py know it as well.
TLS_ABOVE = 10


@dataclass(frozen=True)
class Example:
    """What differs from one example to the next.

    `settings` gives the variables of the steps for (environment, home, address, secret); `server` gives those of the
    server, made from all variables of the environment. `with_tls`: environments that are served with TLS as well.
    """

    folder: Path
    version: str
    wsgi_module: str
    health_path: str
    build: Callable[[Path], Path]
    settings: Callable[[str, Home, str, str], Mapping[str, str]]
    server: Callable[[Mapping[str, str]], Mapping[str, str]]
    steps: tuple[str, ...] = ("static", "migrate", "seed", "switch")
    with_tls: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.folder.name


def prepare(example: Example) -> None:
    """Make both environments of the example, with the host running, and write environments.json."""
    root = Path(need("HOSTING_ROOT")).resolve()
    if sys.argv[1:] not in ([], ["--anew"]):
        raise OpsError("The only option is --anew.")
    if sys.argv[1:]:
        remove(example, root)
    root.mkdir(parents=True, exist_ok=True)
    build = example.build(root)
    digest = DIGEST_PREFIX + hashlib.sha256(build.read_bytes()).hexdigest()
    write_tools(root)
    known = read_json(root / "environments.json")
    known["build"] = {"version": example.version, "digest": digest, "file": str(build)}
    for environment in ENVIRONMENTS:
        started = time.monotonic()
        port = need(f"{environment.upper()}_PORT")
        known[environment] = describe(example, environment, root, port, known.get(environment, {}))
        write_atomically(root / "environments.json", json.dumps(known, indent=1) + "\n", mode=0o600)
        bring_up(example, environment, known[environment], build, digest)
        print(f"{example.name} {example.version} runs in {environment} after {time.monotonic() - started:.1f} s.")


def remove(example: Example, root: Path) -> None:
    """Stop the servers, drop the databases and remove the folders of the environments."""
    if not root.exists():
        return
    run_step([sys.executable, str(HOSTING), str(root), "--stop"], os.environ)
    for environment in ENVIRONMENTS:
        pythons = [*(root / environment).glob("releases/*/venv/bin/python"), *root.glob("cache/*/venv/bin/python")]
        if pythons:
            variables = {**os.environ, "DATABASE_NAME": f"{example.name}_{environment}"}
            run_step([str(pythons[0]), str(HOSTING / "databases.py"), "--drop"], variables)
        shutil.rmtree(root / environment, ignore_errors=True)
    (root / "environments.json").unlink(missing_ok=True)


def write_tools(root: Path) -> None:
    """Write `python` and `pip.conf` into the folder of an example."""
    # A link would do, but Python finds its library beside the place that it was called from.
    python = os.path.realpath(os.environ.get("PYTHON") or sys.executable)
    write_atomically(root / "python", f'#!/bin/sh\nexec {shlex.quote(python)} "$@"\n', mode=0o700)
    options = {name[4:].lower().replace("_", "-"): value for name, value in os.environ.items() if name[:4] == "PIP_"}
    options.pop("config-file", None)
    proxy = os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy")
    if proxy:
        options.setdefault("proxy", proxy)
    lines = [f"{name} = {' '.join(value.split())}\n" for name, value in sorted(options.items())]
    write_atomically(root / "pip.conf", "".join(["[global]\n", *lines]), mode=0o600)


def describe(example: Example, environment: str, root: Path, port: str, known: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of one environment; passwords that were made at the first time are kept."""
    home = Home(root / environment)
    home.data.mkdir(parents=True, exist_ok=True)
    address = f"http://127.0.0.1:{port}"
    database_password = known.get("DATABASE_PASSWORD") or secrets.token_urlsafe(24)
    secret = known.get("SECRET_KEY") or secrets.token_urlsafe(48)
    name = f"{example.name}_{environment}"
    return {
        **example.settings(environment, home, address, secret),
        "ADMINISTRATOR_PASSWORD": known.get("ADMINISTRATOR_PASSWORD") or secrets.token_urlsafe(12),
        "AUDIT_PASSWORD": known.get("AUDIT_PASSWORD") or secrets.token_urlsafe(12),
        "APP_HOME": str(home.root),
        "APP_CACHE": os.environ.get("APP_CACHE") or str(root / "cache"),
        "APP_HEALTH_PATH": example.health_path,
        "DATABASE_NAME": name,
        "DATABASE_PASSWORD": database_password,
        "DATABASE_URL": database_url(need("GONOGO_DEMO_DSN"), name, database_password),
        "PORT": port,
        "PIP_CONFIG_FILE": str(root / "pip.conf"),
        "PYTHON": str(root / "python"),
        "SECRET_KEY": secret,
        "URL": address,
    }


def database_url(administrator: str, name: str, password: str) -> str:
    """Return the address of a database on the administrator's server, for the role of the same name."""
    parts = urlsplit(administrator)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, f"{quote(name)}:{quote(password)}@{host}", f"/{quote(name)}", parts.query, ""))


def bring_up(example: Example, environment: str, variables: Mapping[str, str], build: Path, digest: str) -> None:
    home = Home(Path(variables["APP_HOME"]))
    current = home.target(home.current)
    if current is not None and not current.name.endswith(short_digest(digest)):
        raise OpsError(f"{environment} runs {current.name} and is left as it is. Say --anew to begin anew.")
    run_environment = {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": os.environ.get("HOME", str(home.data)),
        "LANG": "C.UTF-8",
        **variables,
        "GONOGO_DEMO_DSN": need("GONOGO_DEMO_DSN"),
        "GONOGO_BUILD_FILE": str(build),
        "GONOGO_BUILD_DIGEST": digest,
        "GONOGO_VERSION": example.version,
        "GONOGO_ENVIRONMENT": environment,
        "GONOGO_PLAN_DIR": str(example.folder),
    }
    with tempfile.TemporaryDirectory(prefix="gonogo-prepare-") as work:
        walk(example, home, variables, {**run_environment, "GONOGO_WORK": work})


def walk(example: Example, home: Home, variables: Mapping[str, str], run_environment: Mapping[str, str]) -> None:
    """Take the steps of a first installation: build, database, server settings, and then the example's own."""
    run_step(["sh", str(step_file(example, "install"))], run_environment)
    python = home.release(example.version, run_environment["GONOGO_BUILD_DIGEST"]) / "venv" / "bin" / "python"
    run_step([str(python), str(HOSTING / "databases.py")], run_environment)
    serve(home, example, variables)
    for step in example.steps:
        run_step(["sh", str(step_file(example, step))], run_environment)


def step_file(example: Example, step: str) -> Path:
    """Return the script of a step: the example's own, or the one that all share."""
    own = example.folder / "ops" / f"{step}.sh"
    return own if own.exists() else HOSTING / "steps" / f"{step}.sh"


def serve(home: Home, example: Example, variables: Mapping[str, str]) -> None:
    """Write what the server needs, and start the host where none runs yet."""
    root = home.root.parent
    if not host_runs(root):
        refuse_taken_port(int(variables["PORT"]), example, home)
    elif home.settings.exists() and (now := home.read_settings()["PORT"]) != variables["PORT"]:
        raise OpsError(
            f"{home.root.name} of {example.name} answers at port {now} and was asked for {variables['PORT']}. Nothing "
            f"was changed. Stop its host first: python examples/hosting {root} --stop."
        )
    home.write_settings({**example.server(variables), "PORT": variables["PORT"], "WSGI_MODULE": example.wsgi_module})
    if home.root.name in example.with_tls:
        put_tls_in_front(home, example, int(variables["PORT"]) + TLS_ABOVE)
    command = [sys.executable, str(HOSTING), str(root)]
    if os.environ.get("HOSTING_WITH_PID"):
        command += ["--with-pid", os.environ["HOSTING_WITH_PID"]]
    with (root / "host.log").open("ab") as log:
        # A second host beside a running one says so and leaves; that is how this may be repeated.
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def put_tls_in_front(home: Home, example: Example, port: int) -> None:
    """Make the certificate and say at which port; the host does the rest."""
    if not home.front.exists() or not host_runs(home.root.parent):
        refuse_taken_port(port, example, home)
    run_step([sys.executable, str(HOSTING / "certificate.py")], {**os.environ, "APP_HOME": str(home.root)})
    write_atomically(home.front, json.dumps({"port": port}) + "\n")


def host_runs(root: Path) -> bool:
    """Whether a host looks after this folder: the process that its lock names lives."""
    try:
        pid = (root / "host.lock").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return False
    return pid.isdecimal() and Path(f"/proc/{pid}").exists()


def refuse_taken_port(port: int, example: Example, home: Home) -> None:
    """Say which port somebody else has, for whom it was meant, and by which variable another is chosen."""
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError as error:
        place = home.root.name
        raise OpsError(
            f"Port {port}, at which {place} of {example.name} is to answer, is taken. Its server was not started. End "
            f"what uses it, or choose another by {example.name.upper()}_{place.upper()}_PORT, for make up as well."
        ) from error


def run_step(command: list[str], environment: Mapping[str, str]) -> None:
    finished = subprocess.run(command, env=dict(environment), stdin=subprocess.DEVNULL, check=False)
    if finished.returncode:
        raise OpsError(f"{Path(command[1]).name} left with status {finished.returncode}; the lines above say why.")
