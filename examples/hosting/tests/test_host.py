import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from conftest import HOSTING, Site, wait_until

BROKEN = "raise RuntimeError('this release does not start')\n"


def port_is_free(port: int) -> bool:
    try:
        socket.create_server(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def while_asking(site: Site, act: Callable[[], object]) -> list[str]:
    """Ask the site again and again while `act` runs; return every answer, an error's name for one that failed."""
    answers: list[str] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                answers.append(site.answer())
            except OSError as error:
                answers.append(type(error).__name__)

    asking = threading.Thread(target=ask)
    asking.start()
    act()
    done.set()
    asking.join()
    return answers


def test_it_switches_without_refusing_a_request(site: Site) -> None:
    site.add_release("1")
    site.add_release("2")
    assert site.switch("forward", "1").returncode == 0
    answers = while_asking(site, lambda: site.switch("forward", "2"))
    assert set(answers) == {"1", "2"}
    wait_until(lambda: {site.answer() for _ in range(10)} == {"2"})


def test_a_release_that_does_not_start_leaves_the_old_one_running(site: Site) -> None:
    site.add_release("1")
    site.add_release("2", BROKEN)
    site.switch("forward", "1")
    refused = site.switch("forward", "2")
    assert refused.returncode == 1
    assert "still answers" in refused.stderr
    assert site.answer() == "1"
    assert site.home.current.resolve().name.startswith("1-")


def test_while_it_holds_requests_wait_and_are_answered_by_the_next_release(site: Site) -> None:
    site.add_release("1")
    site.add_release("2")
    site.switch("forward", "1")
    assert site.switch("hold").returncode == 0
    answers: list[str] = []
    asking = threading.Thread(target=lambda: answers.append(site.answer(timeout=30)))
    asking.start()
    time.sleep(1)
    assert answers == []
    site.switch("forward", "2")
    asking.join()
    assert answers == ["2"]


def test_what_was_held_stays_held_when_the_next_release_does_not_start(site: Site) -> None:
    site.add_release("1")
    site.add_release("2", BROKEN)
    site.switch("forward", "1")
    site.switch("hold")
    assert "still held" in site.switch("forward", "2").stderr
    assert site.state()["release"] is None
    assert site.switch("back", "2").returncode == 0
    assert site.answer() == "1"


def test_going_back_may_be_repeated(site: Site) -> None:
    site.add_release("1")
    site.add_release("2")
    site.switch("forward", "1")
    site.switch("forward", "2")
    for _ in range(2):
        assert site.switch("back", "2").returncode == 0
        assert site.answer() == "1"


def test_going_back_from_the_first_release_is_refused(site: Site) -> None:
    site.add_release("1")
    site.switch("forward", "1")
    refused = site.switch("back", "1")
    assert refused.returncode == 1
    assert "no release before" in refused.stderr
    assert site.answer() == "1"


def test_a_server_that_dies_is_started_again(site: Site) -> None:
    site.add_release("1")
    site.switch("forward", "1")
    before = site.state()["pid"]
    os.kill(int(str(before)), signal.SIGKILL)
    wait_until(lambda: site.state()["state"] == "running" and site.state()["pid"] != before)
    assert site.answer() == "1"


def test_it_stops_with_every_server(site: Site) -> None:
    site.add_release("1")
    site.switch("forward", "1")
    subprocess.run([sys.executable, str(HOSTING), str(site.folder), "--stop"], check=True, timeout=60)
    assert site.host.wait(10) == 0
    assert port_is_free(site.port)


def test_a_killed_host_leaves_no_server_and_the_next_one_goes_on(site: Site) -> None:
    site.add_release("1")
    site.switch("forward", "1")
    before = site.state()["pid"]
    site.host.kill()
    site.host.wait()
    wait_until(lambda: port_is_free(site.port))
    site.host = site.start_host()
    wait_until(lambda: site.state()["state"] == "running" and site.state()["pid"] != before)
    assert site.answer() == "1"


def test_a_second_host_of_the_same_folder_refuses(site: Site) -> None:
    site.add_release("1")
    site.switch("forward", "1")
    command = [sys.executable, str(HOSTING), str(site.folder)]
    second = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert second.returncode == 1
    assert "Another host" in second.stderr


def test_it_ends_with_the_process_it_was_told(tmp_path: Path) -> None:
    other = subprocess.Popen(["sleep", "60"])
    host = subprocess.Popen([sys.executable, str(HOSTING), str(tmp_path), "--with-pid", str(other.pid)])
    other.kill()
    assert host.wait(20) == 0
    other.wait()
