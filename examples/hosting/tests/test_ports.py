import os
import socket
from pathlib import Path

import pytest
from home import Home, OpsError
from prepare import Example, host_runs, refuse_taken_port


def test_a_taken_port_is_named_with_the_variable_that_chooses_another(tmp_path: Path) -> None:
    example = Example(Path("shop"), "1", "x", "/", lambda root: root, lambda *_: {}, lambda _: {})
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(OpsError, match=rf"Port {port}, at which staging of shop .*SHOP_STAGING_PORT"):
            refuse_taken_port(port, example, Home(tmp_path / "staging"))
    refuse_taken_port(port, example, Home(tmp_path / "staging"))


def test_a_host_runs_while_the_process_in_its_lock_does(tmp_path: Path) -> None:
    assert not host_runs(tmp_path)
    lock = tmp_path / "host.lock"
    for text, runs in [("", False), (str(os.getpid()), True), ("4194999", False)]:
        lock.write_text(text)
        assert host_runs(tmp_path) is runs
