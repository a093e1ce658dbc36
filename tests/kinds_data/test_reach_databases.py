"""A database that cannot be reached is told by its cause, with what to do, and nothing secret."""

import socket
from collections.abc import Iterator

import pytest

from checks.errors import CheckError
from checks.tools.postgres import Address, connect

SECRET = "pa:ss/wo rd"


@pytest.fixture
def silent() -> Iterator[int]:
    """The port of a host that takes connections and never says a word, as a firewall may."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def told(host: str, port: int) -> tuple[str, str]:
    facts = {"host": host, "port": str(port), "dbname": "shop", "user": "shop", "password": SECRET}
    with pytest.raises(CheckError) as error:
        connect(Address(facts), what="the database of production")
    assert SECRET not in error.value.message + error.value.remedy
    return error.value.message, error.value.remedy


@pytest.mark.campaign
def test_a_host_that_does_not_answer(silent: int) -> None:
    message, remedy = told("127.0.0.1", silent)
    assert message.startswith(f"The host 127.0.0.1:{silent} cannot be reached from this worker")
    assert remedy == "Check host, port, network and firewall."


def test_a_host_that_nobody_knows() -> None:
    message, remedy = told("nowhere.invalid", 5432)
    assert message.startswith("The host of nowhere.invalid:5432 is not known")
    assert "name service" in remedy


def test_a_port_at_which_nothing_listens(silent: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    message, remedy = told("127.0.0.1", port)
    assert message.startswith(f"Nothing listens at 127.0.0.1:{port}")
    assert remedy == "Start PostgreSQL there, or correct host and port."
