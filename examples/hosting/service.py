"""One application server under the host's care: started, replaced without a refused connection, held, stopped.

The host owns the listening socket and the server inherits it. A new server is started beside the old one and
the old one ends only when a worker of the new one has loaded its code; one that does not come up is dropped and the
old one stays. While nothing runs (`held`), connections wait in the socket's queue.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from home import Home, OpsError, read_json, write_atomically

BOOT_SECONDS = 90.0
STOP_SECONDS = 30.0
PR_SET_PDEATHSIG = 1
FRONT_AGAIN_SECONDS = 2.0
SETTINGS_OF_GUNICORN = Path(__file__).with_name("gunicorn_settings.py")
FRONT = Path(__file__).with_name("front.py")


def end_with_the_host() -> None:
    """Ask the kernel to end the server when the host dies, so that none is left behind holding the port."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Service:
    """The server of one environment. `tick()` never waits; the host calls it some times a second."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.port = int(home.read_settings()["PORT"])
        self.listener = socket.create_server(("127.0.0.1", self.port), backlog=512)
        self.listener.set_inheritable(True)
        self.running: subprocess.Popen[bytes] | None = None
        self.release: Path | None = None
        self.candidate: subprocess.Popen[bytes] | None = None
        self.candidate_release: Path | None = None
        self.retiring: list[tuple[subprocess.Popen[bytes], float]] = []
        self.deadline = 0.0
        self.failures = 0
        self.retry_at: float | None = None
        self.front: subprocess.Popen[bytes] | None = None
        self.front_at = 0.0
        self.request_id = read_json(home.request).get("id", "")
        self.held = read_json(home.state).get("held", False)
        self.holding = False
        self.publish("held" if self.held else "stopped", "The host has just started.")
        if not self.held:
            self.start()

    def tick(self) -> None:
        self.take_request()
        self.watch_candidate()
        self.watch_running()
        self.watch_front()
        self.end_retired()

    def take_request(self) -> None:
        request = read_json(self.home.request)
        if not request or request["id"] == self.request_id:
            return
        self.request_id, self.holding = request["id"], False
        self.failures, self.retry_at = 0, None
        self.drop_candidate()
        if request["action"] == "hold":
            self.hold()
        else:
            self.start()

    def hold(self) -> None:
        self.held = self.holding = True
        if self.running is not None:
            self.retire(self.running)
            self.running = None
        self.publish("holding", "The server finishes its last requests.")

    def start(self) -> None:
        """Start the release that `current` names, beside whatever runs."""
        release = self.home.target(self.home.current)
        if release is None:
            self.publish("stopped", "No release is current.")
            return
        try:
            self.candidate = self.spawn(release)
        except (OSError, OpsError, ValueError) as error:
            self.failed(f"{release.name} cannot be started: {error}")
            return
        self.candidate_release = release
        self.deadline = time.monotonic() + BOOT_SECONDS
        self.publish("starting", f"{release.name} is starting.")

    def spawn(self, release: Path) -> subprocess.Popen[bytes]:
        self.ready_file.parent.mkdir(parents=True, exist_ok=True)
        self.ready_file.unlink(missing_ok=True)
        self.home.log.parent.mkdir(parents=True, exist_ok=True)
        settings = self.home.read_settings()
        module = settings["WSGI_MODULE"]
        environment = {"PATH": os.defpath, "HOME": str(self.home.data), "LANG": "C.UTF-8"}
        environment |= {key: value.replace("{RELEASE_DIR}", str(release)) for key, value in settings.items()}
        environment["HOSTING_READY_FILE"] = str(self.ready_file)
        descriptor = self.listener.fileno()
        command = [str(release / "venv" / "bin" / "python"), "-m", "gunicorn", module]
        command += ["--bind", f"fd://{descriptor}", "--config", str(SETTINGS_OF_GUNICORN)]
        with self.home.log.open("ab") as log:
            return subprocess.Popen(
                command,
                env=environment,
                cwd=self.home.data,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[descriptor],
                start_new_session=True,
                preexec_fn=end_with_the_host,  # noqa: PLW1509 - the host has one thread
            )

    @property
    def ready_file(self) -> Path:
        return self.home.root / "run" / "ready"

    def watch_candidate(self) -> None:
        if self.candidate is None or self.candidate_release is None:
            return
        status = self.candidate.poll()
        if status is not None:
            self.candidate = None
            self.failed(f"{self.candidate_release.name} ended with status {status} while starting.")
        elif self.ready_file.exists():
            if self.running is not None:
                self.retire(self.running)
            self.running, self.release = self.candidate, self.candidate_release
            self.candidate, self.failures, self.held = None, 0, False
            self.publish("running", f"{self.release.name} answers.")
        elif time.monotonic() > self.deadline:
            self.drop_candidate()
            self.failed(f"{self.candidate_release.name} did not come up within {BOOT_SECONDS:.0f} s.")

    def watch_running(self) -> None:
        """Start a server that ended by itself again, after a pause that grows while it keeps failing."""
        if self.running is not None and self.running.poll() is not None:
            status = self.running.returncode
            self.running = None
            self.failed(f"The server ended by itself with status {status}.")
        if self.retry_at is not None and time.monotonic() >= self.retry_at and not self.held:
            self.retry_at = None
            self.start()

    def watch_front(self) -> None:
        """Keep TLS in front of the server, where the environment has a port for it."""
        running = self.front is not None and self.front.poll() is None
        if running or not self.home.front.exists() or time.monotonic() < self.front_at:
            return
        self.front_at = time.monotonic() + FRONT_AGAIN_SECONDS
        self.home.log.parent.mkdir(parents=True, exist_ok=True)
        with self.home.log.open("ab") as log:
            self.front = subprocess.Popen(
                [sys.executable, str(FRONT), str(self.home.root)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_the_host,  # noqa: PLW1509 - the host has one thread
            )

    def failed(self, message: str) -> None:
        self.failures += 1
        if self.held:
            self.publish("failed", f"{message} Connections are still held. {self.home.log} tells why.")
        elif self.running is None:
            self.retry_at = time.monotonic() + min(0.5 * 2**self.failures, 30)
            self.publish("failed", f"{message} It will be tried again. {self.home.log} tells why.")
        else:
            kept = self.release.name if self.release else "The server before it"
            self.publish("failed", f"{message} {kept} still answers. {self.home.log} tells why.")

    def drop_candidate(self) -> None:
        if self.candidate is not None:
            self.retire(self.candidate)
            self.candidate = None

    def retire(self, process: subprocess.Popen[bytes]) -> None:
        """Ask a server to finish its requests and leave."""
        process.terminate()
        self.retiring.append((process, time.monotonic() + STOP_SECONDS))

    def end_retired(self) -> None:
        for process, deadline in list(self.retiring):
            if process.poll() is None and time.monotonic() > deadline:
                os.killpg(process.pid, signal.SIGKILL)
            if process.poll() is not None:
                self.retiring.remove((process, deadline))
        if self.holding and not self.retiring:
            self.holding = False
            self.publish("held", "Nothing runs; connections wait in the queue.")

    def stop(self) -> None:
        """End everything and wait for it; what was held stays held for the host's next start."""
        if self.front is not None:
            self.front.terminate()
            self.front.wait()
        self.drop_candidate()
        if self.running is not None:
            self.retire(self.running)
            self.running = None
        while self.retiring:
            self.end_retired()
            time.sleep(0.05)
        self.listener.close()
        self.publish("held" if self.held else "stopped", "The host was stopped.")

    def publish(self, state: str, message: str) -> None:
        answer = {
            "request": self.request_id,
            "state": state,
            "release": self.release.name if self.release and self.running else None,
            "pid": self.running.pid if self.running else None,
            "held": self.held,
            "port": self.port,
            "message": message,
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_atomically(self.home.state, json.dumps(answer, indent=1) + "\n")
        print(f"{answer['at']} {self.home.root.name}: {state}. {message}", flush=True)
