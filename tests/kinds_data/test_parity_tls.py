"""Facts of TLS, from real servers: each difference is named, and two servers that are alike have none."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from checks.tools.parity import comparing, of_web
from checks.tools.parity.comparing import Policy
from checks.tools.parity.facts import Area, Side
from checks.tools.parity.states import State
from tests.engine.support import log_text
from tests.kinds_audit.tls_site import TlsSite, serving_tls
from tests.kinds_data.test_parity import a_world, differing, page
from tests.kinds_deploy.local_server import Reply, serving

#: What is planted in staging -> facts that are named, with how that begins which staging shows.
PLANTED = {
    "expired": {"tls.certificate holds": "no: certificate has expired", "tls.lasts 14 days": "no: -2 days"},
    "expires-soon": {"tls.lasts 14 days": "no: 9 days"},
    "other-name": {
        "tls.certificate holds": "no: Hostname mismatch, certificate is not valid for 'localhost'.",
    },
    "self-signed": {"tls.certificate holds": "no: self-signed certificate", "tls.issuer": "localhost"},
    "unknown-authority": {"tls.certificate holds": "no: "},
    "weak-key": {"tls.key": "RSA 1024"},
    "without-tls-1.3": {"tls.protocol": "TLSv1.2", "tls.TLSv1.3": "refused"},
    "old-protocols": {"tls.TLSv1": "ECDHE-ECDSA-AES256-SHA", "tls.TLSv1.1": "ECDHE-ECDSA-AES256-SHA"},
    "without-forward-secrecy": {"tls.TLSv1.2": "AES128-GCM-SHA256"},
}  # fmt: skip


@contextmanager
def made(folder: Path, *flaws: str) -> Iterator[TlsSite]:
    folder.mkdir()
    with serving_tls(folder, *flaws) as site:
        yield site


@pytest.fixture
def production(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TlsSite]:
    """A sound server, whose authority this machine believes."""
    with made(tmp_path / "production") as site:
        monkeypatch.setenv("SSL_CERT_FILE", str(site.authority))
        yield site


def believed(monkeypatch: pytest.MonkeyPatch, folder: Path, *sites: TlsSite) -> None:
    both = folder / "believed.pem"
    both.write_text("".join(site.authority.read_text() for site in sites))
    monkeypatch.setenv("SSL_CERT_FILE", str(both))


def looked_at(url: str, name: str) -> Side:
    side = Side(name)
    of_web.gather(url, ["/"], side)
    return side


def named(staging: str, production: str) -> dict[str, str]:
    """Each fact of TLS that is not the same, with what staging shows of it."""
    sides = looked_at(staging, "staging"), looked_at(production, "production")
    rows = [row for row in comparing.compare(*sides, Policy()) if row.area is Area.TLS]
    assert rows
    assert {row.state for row in rows} <= {State.SAME, State.DRIFT}
    return {row.fact: row.here.text if row.here else "" for row in rows if row.state is not State.SAME}


@pytest.mark.parametrize("flaw", PLANTED)
def test_a_difference_of_tls_is_named(
    production: TlsSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flaw: str
) -> None:
    with made(tmp_path / "staging", flaw) as staging:
        believed(monkeypatch, tmp_path, production, staging)
        found = named(staging.url, production.url)
    for fact, beginning in PLANTED[flaw].items():
        assert found.get(fact, "").startswith(beginning), found


def test_two_servers_that_are_alike_differ_in_nothing(
    production: TlsSite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has a key and a certificate of its own, as it should be."""
    with made(tmp_path / "staging") as staging:
        believed(monkeypatch, tmp_path, production, staging)
        assert named(staging.url, production.url) == {}
        seen = looked_at(staging.url, "staging").facts[Area.TLS]
    assert seen["certificate holds"].text == "yes"
    assert (seen["TLSv1"].text, seen["TLSv1.1"].text) == ("refused", "refused")


def test_a_side_without_tls_is_named_for_it(production: TlsSite) -> None:
    with serving({"/": Reply()}) as plain:
        found = named(plain.url, production.url)
    assert found["tls.used"] == "no"


def test_a_server_that_speaks_no_tls_is_unknown_and_not_the_same(production: TlsSite) -> None:
    with serving({"/": Reply()}) as plain:
        sides = looked_at(plain.url.replace("http:", "https:"), "staging"), looked_at(production.url, "production")
    states = {row.fact: row.state for row in comparing.compare(*sides, Policy())}
    assert states["tls"] is State.UNKNOWN
    assert states["http"] is State.UNKNOWN


@pytest.mark.campaign
@pytest.mark.django_db(transaction=True)
def test_a_run_names_what_staging_does_otherwise(
    production: TlsSite, tmp_path: Path, storage_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plan").mkdir()
    with made(tmp_path / "staging", "without-tls-1.3") as staging, a_world(tmp_path / "plan") as world:
        believed(monkeypatch, tmp_path, production, staging)
        world.urls = {"staging": staging.url, "production": production.url}
        run = world.run()
        assert run.state == "passed", log_text(run)
        assert differing(run)["tls.TLSv1.3"] == "drift"
        assert "refused" in page(run)
        blocked = world.run(breaking=["tls.*"])
    assert blocked.state == "failed", log_text(blocked)
    assert "tls." in blocked.summary
