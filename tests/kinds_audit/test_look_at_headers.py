"""Headers and cookies by MDN Observatory's rules: each planted flaw is found, and its safe twin is not."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from checks.findings import fingerprints
from checks.findings.coverage import looks
from checks.tools.auditing import asking, headers
from checks.tools.auditing.headers import HeadersLook, HeadersSection
from checks.tools.auditing.said import Family, Severity, SystemPlace, ToolReport, ToolStatus
from tests.kinds_audit.support import looked, rules
from tests.kinds_deploy.local_server import LocalServer, Reply, serving

POLICY = "default-src 'self'; object-src 'none'; frame-ancestors 'none'; form-action 'self'"
SOUND = {
    "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff", "Referrer-Policy": "same-origin",
    "Strict-Transport-Security": "max-age=31536000", "Set-Cookie": "sessionid=1; Secure; HttpOnly; SameSite=Lax",
    "Cross-Origin-Resource-Policy": "same-origin",
}  # fmt: skip
POLICY_NAME, COOKIE = "Content-Security-Policy", "Set-Cookie"
#: What is sent, what is found; and beside it what is sent, looks alike, and is sound.
PAIRS = [
    ({POLICY_NAME: None}, {"csp-not-implemented", "x-frame-options-not-implemented"},
     {POLICY_NAME: "default-src 'none'", "X-Frame-Options": "DENY"}),
    ({POLICY_NAME: "script-src 'self' 'unsafe-inline'; object-src 'none'; frame-ancestors 'none'"},
     {"csp-implemented-with-unsafe-inline"},
     {POLICY_NAME: "script-src 'self' 'unsafe-inline' 'nonce-abc'; object-src 'none'; frame-ancestors 'none'"}),
    ({POLICY_NAME: "script-src 'strict-dynamic'; object-src 'none'; frame-ancestors 'none'"}, {"csp-header-invalid"},
     {POLICY_NAME: "script-src 'strict-dynamic' 'nonce-abc' https:; object-src 'none'; frame-ancestors 'none'"}),
    ({POLICY_NAME: "default-src 'self' 'unsafe-eval'; frame-ancestors 'none'"}, {"csp-implemented-with-unsafe-eval"},
     {POLICY_NAME: "default-src 'self' 'wasm-unsafe-eval'; frame-ancestors 'none'"}),
    ({POLICY_NAME: "default-src *; frame-ancestors 'none'"}, {"csp-implemented-with-unsafe-inline"},
     {POLICY_NAME: f"default-src *; frame-ancestors 'none', {POLICY}"}),
    ({POLICY_NAME: "script-src 'self'; frame-ancestors 'self'"}, {"csp-implemented-with-unsafe-inline"},
     {POLICY_NAME: "script-src 'self'; object-src 'none'; frame-ancestors 'self'"}),
    ({POLICY_NAME: POLICY.replace("'none'; form", "*; form")}, {"x-frame-options-not-implemented"},
     {POLICY_NAME: POLICY.replace("'none'; form", "*; form"), "X-Frame-Options": "SAMEORIGIN"}),
    ({POLICY_NAME: "default-src 'self'", "X-Frame-Options": "ALLOWALL"}, {"x-frame-options-header-invalid"},
     {POLICY_NAME: "default-src 'self'", "X-Frame-Options": "deny"}),
    ({"X-Content-Type-Options": None}, {"x-content-type-options-not-implemented"},
     {"X-Content-Type-Options": "NoSniff"}),
    ({"X-Content-Type-Options": "nosnif"}, {"x-content-type-options-header-invalid"}, {}),
    ({"Referrer-Policy": "unsafe-url"}, {"referrer-policy-unsafe"}, {"Referrer-Policy": "unsafe-url, strict-origin"}),
    ({"Referrer-Policy": "none-of-it"}, {"referrer-policy-header-invalid"}, {"Referrer-Policy": None}),
    ({COOKIE: "sessionid=1; Secure; SameSite=Lax"}, {"cookies-session-without-httponly-flag"},
     {COOKIE: "theme=1; Secure; SameSite=Lax"}),
    ({COOKIE: "csrftoken=1; Secure"}, {"cookies-anticsrf-without-samesite-flag"},
     {COOKIE: "csrftoken=1; Secure; SameSite=Strict"}),
    ({COOKIE: "theme=1; Secure; SameSite=Sometimes"}, {"cookies-samesite-flag-invalid"},
     {COOKIE: "theme=1; Secure; SameSite=None"}),
    ({"Access-Control-Allow-Origin": "https://gonogo-audit.invalid", "Access-Control-Allow-Credentials": "true"},
     {"cross-origin-resource-sharing-implemented-with-universal-access"},
     {"Access-Control-Allow-Origin": "https://partner.example", "Access-Control-Allow-Credentials": "true"}),
    ({"Cross-Origin-Resource-Policy": "everywhere"}, {"cross-origin-resource-policy-header-invalid"},
     {"Cross-Origin-Resource-Policy": None}),
]  # fmt: skip
SCRIPTS = [
    ('<script src="http://cdn.example/a.js"></script>',
     {"sri-not-implemented-and-external-scripts-not-loaded-securely"}),
    ('<script src="//cdn.example/a.js" integrity="sha384-x"></script>',
     {"sri-implemented-but-external-scripts-not-loaded-securely"}),
    ('<script src="https://cdn.example/a.js"></script>', {"sri-not-implemented-but-external-scripts-loaded-securely"}),
    ('<script src="https://cdn.example/a.js" integrity="sha384-x"></script>', set()),
    ('<script src="/a.js"></script><script>1</script>', set()),
]  # fmt: skip


@pytest.fixture(scope="module")
def site() -> Iterator[LocalServer]:
    with serving() as local:
        yield local


def look(url: str, folder: Path, **more: Any) -> tuple[HeadersLook, ToolReport]:
    authority = more.pop("authority", None)
    one = HeadersLook(HeadersSection.model_validate({"pages": ["/"], **more}), authority)
    return one, looked(one, url, folder)


def sent(site: LocalServer, changes: dict[str, str | None], body: bytes = b"<p>hello</p>") -> str:
    headers = {name: value for name, value in {**SOUND, **changes}.items() if value is not None}
    site.replies["/"] = Reply(body=body, headers=headers)
    return site.url


@pytest.mark.parametrize(("flaw", "expected", "twin"), PAIRS)
def test_a_flaw_is_found_and_its_twin_is_not(
    site: LocalServer, tmp_path: Path, flaw: dict[str, str | None], expected: set[str], twin: dict[str, str | None]
) -> None:
    _, report = look(sent(site, flaw), tmp_path)
    assert (report.status, rules(report)) == (ToolStatus.FINDINGS, expected)
    _, report = look(sent(site, twin), tmp_path)
    assert (report.status, rules(report)) == (ToolStatus.OK, set())


@pytest.mark.parametrize(("body", "expected"), SCRIPTS)
def test_scripts_of_others_are_looked_at(site: LocalServer, tmp_path: Path, body: str, expected: set[str]) -> None:
    _, report = look(sent(site, {}, body.encode()), tmp_path)
    assert rules(report) == expected


def test_points_and_grades_are_mdns(site: LocalServer, tmp_path: Path) -> None:
    one, report = look(sent(site, {}), tmp_path)
    # 100, and bonuses for the policy, framing by it, the referrer, cookies and the resource policy.
    assert one.scores["/"][:2] == (130, "A+")
    assert "without TLS" in report.notes[0]
    one, _ = look(sent(site, dict.fromkeys(SOUND)), tmp_path)
    # No policy 25, no framing 20, sniffing 5; no bonus below 90.
    assert (one.scores["/"][:2], one.worst) == ((50, "C"), 50)


def test_a_cookie_without_secure_is_told_lightly_where_no_tls_is_seen(site: LocalServer, tmp_path: Path) -> None:
    one, report = look(sent(site, {COOKIE: "sessionid=1; HttpOnly; SameSite=Lax"}), tmp_path)
    assert [(found.rule, found.severity) for found in report.found] == [
        ("cookies-session-without-secure-flag", Severity.LOW)
    ]
    assert one.worst == 125


def test_an_error_page_says_nothing_of_a_site(site: LocalServer, tmp_path: Path) -> None:
    sent(site, {})
    _, report = look(site.url, tmp_path, pages=["/", "/gone/"])
    assert report.status is ToolStatus.INCOMPLETE
    assert "/gone/ answers 404" in report.why


@contextmanager
def dripping() -> Iterator[str]:
    """A site whose page never ends, and sends a little of it all the time."""
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            with suppress(OSError):
                while not stopped.wait(0.05):
                    self.wfile.write(b": still here\n")

        def log_message(self, *_args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()


@pytest.mark.timeout(30)
def test_a_page_that_never_ends_is_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "LONGEST_ANSWER_SECONDS", 0.5, raising=False)
    with dripping() as url:
        _, report = look(url, tmp_path)
    assert (report.status, "was still sending its answer after 0.5 s" in report.why) == (
        ToolStatus.INCOMPLETE, True,
    ), report.why  # fmt: skip


def test_another_host_is_not_asked(site: LocalServer, tmp_path: Path) -> None:
    site.replies["/away/"] = Reply(302, headers={"Location": "http://169.254.169.254/"})
    _, report = look(site.url, tmp_path, pages=["/away/"])
    assert report.status is ToolStatus.INCOMPLETE
    assert "leads to another host" in report.why


@contextmanager
def serving_with_tls(folder: Path, sent_headers: dict[str, str]) -> Iterator[tuple[str, str]]:
    """A real HTTPS server on loopback: its address, and the PEM file of its authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        .not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    authority = folder / "authority.pem"
    authority.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "both.pem").write_bytes(private + authority.read_bytes())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            for header, value in {**sent_headers, "Content-Length": "2"}.items():
                self.send_header(header, value)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_args: Any) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"https://localhost:{server.server_address[1]}", str(authority)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


TLS_PAIRS: list[tuple[dict[str, str], set[str]]] = [
    ({}, set()),
    ({"Strict-Transport-Security": "max-age=15552000; includeSubDomains"}, set()),
    ({"Strict-Transport-Security": "max-age=3600"}, {"hsts-implemented-max-age-less-than-six-months"}),
    ({"Strict-Transport-Security": "includeSubDomains"}, {"hsts-header-invalid"}),
    (
        {"Strict-Transport-Security": "max-age=0", COOKIE: "sessionid=1; HttpOnly; SameSite=Lax"},
        {"hsts-implemented-max-age-less-than-six-months", "cookies-session-without-secure-flag"},
    ),
    (
        {COOKIE: "sessionid=1; HttpOnly; SameSite=Lax"},
        {"cookies-session-without-secure-flag-but-protected-by-hsts"},
    ),
    (
        {POLICY_NAME: "default-src 'self' http://cdn.example; frame-ancestors 'none'"},
        {"csp-implemented-with-insecure-scheme"},
    ),
    (
        {POLICY_NAME: "default-src 'self'; img-src http://cdn.example; frame-ancestors 'none'"},
        {"csp-implemented-with-insecure-scheme-in-passive-content-only"},
    ),
]


@pytest.mark.parametrize(("changes", "expected"), TLS_PAIRS)
def test_with_tls_all_is_judged(changes: dict[str, str], expected: set[str], tmp_path: Path) -> None:
    with serving_with_tls(tmp_path, {**SOUND, **changes}) as (url, authority):
        _, report = look(url, tmp_path, authority=authority)
    assert (rules(report), report.why, report.notes) == (expected, "", ())


def test_a_certificate_that_nobody_knows_is_no_pass(tmp_path: Path) -> None:
    with serving_with_tls(tmp_path, SOUND) as (url, _):
        _, report = look(url, tmp_path)
    assert report.status is ToolStatus.INCOMPLETE
    assert "The certificate of localhost:" in report.why


def by_plain_http(plain: str, folder: Path, monkeypatch: pytest.MonkeyPatch, **more: Any) -> ToolReport:
    """A look at a sound site with TLS, which answers plain HTTP at another port than 80: nobody may take that here."""
    monkeypatch.setattr(headers, "plain_address", lambda base: plain)
    with serving_with_tls(folder, SOUND) as (url, authority):
        _, report = look(url, folder, authority=authority, **more)
    return report


def resolves(report: ToolReport, family: Family, rule: str, place: SystemPlace) -> bool:
    document = fingerprints.place_document(place)
    return any(
        one.went_to(family=family.value, names={rule}, place=document, tools=[report.tool]) for one in looks([report])
    )


REDIRECTION = ("redirection-missing", SystemPlace("redirection"))


def test_plain_http_that_is_refused_needs_no_redirection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        # Bound, and nobody listens: a connection is refused.
        report = by_plain_http(f"http://localhost:{taken.getsockname()[1]}", tmp_path, monkeypatch)
    assert (report.status, rules(report)) == (ToolStatus.OK, set()), report.why
    assert resolves(report, Family.HEADERS, *REDIRECTION)


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("https://elsewhere.example/", "redirection-off-host-from-http"),
        ("http://elsewhere.example/", "redirection-not-to-https"),
    ],
)
def test_plain_http_that_leads_to_another_host_is_a_finding(
    target: str, expected: str, site: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.replies["/"] = Reply(301, headers={"Location": target})
    report = by_plain_http(site.url, tmp_path, monkeypatch)
    assert (report.status, rules(report)) == (ToolStatus.FINDINGS, {expected}), report.why


def test_plain_http_without_redirection_is_a_finding(
    site: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = by_plain_http(sent(site, {}), tmp_path, monkeypatch)
    assert rules(report) == {"redirection-missing"}


@pytest.mark.parametrize(("answer", "why"), [(b"", "No answer from"), (None, "gave no answer within")])
def test_plain_http_that_is_slow_or_breaks_is_no_pass(
    answer: bytes | None, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        if answer is not None:

            def break_off() -> None:
                server.accept()[0].close()

            threading.Thread(target=break_off, daemon=True).start()
        report = by_plain_http(f"http://127.0.0.1:{server.getsockname()[1]}", tmp_path, monkeypatch)
    assert (report.status, why in report.why) == (ToolStatus.INCOMPLETE, True), report.why
    assert not resolves(report, Family.HEADERS, *REDIRECTION)


@contextmanager
def dropping() -> Iterator[str]:
    """An address at which connections are dropped, as a firewall does: its queue is full, and nobody takes any."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(server.getsockname())
        try:
            yield f"http://127.0.0.1:{server.getsockname()[1]}"
        finally:
            for each in waiting:
                each.close()


CLOSED = {"port_80_closed": "The firewall drops it."}


def test_plain_http_that_is_dropped_is_closed_only_where_the_plan_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "PATIENCE_SECONDS", 0.5)
    with dropping() as plain:
        (tmp_path / "undeclared").mkdir()
        report = by_plain_http(plain, tmp_path / "undeclared", monkeypatch)
        assert (report.status, "port_80_closed" in report.remedy) == (ToolStatus.INCOMPLETE, True)
        report = by_plain_http(plain, tmp_path, monkeypatch, pages=["/", "/b/"], **CLOSED)
    assert (report.status, rules(report)) == (ToolStatus.OK, set()), report.why
    assert report.notes == (f"{plain} takes no connection from this worker. The firewall drops it.",)
    assert resolves(report, Family.HEADERS, *REDIRECTION)


@pytest.mark.parametrize("silent", [True, False])
def test_plain_http_that_answers_although_the_plan_calls_it_closed_is_no_pass(
    silent: bool, site: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        plain = f"http://127.0.0.1:{server.getsockname()[1]}" if silent else sent(site, {})
        report = by_plain_http(plain, tmp_path, monkeypatch, **CLOSED)
    assert report.status is ToolStatus.INCOMPLETE
    assert report.why == f"The plan says that port 80 is closed, and {plain} takes a connection."
    assert not resolves(report, Family.HEADERS, *REDIRECTION)


def test_a_page_that_leads_elsewhere_has_no_score_and_is_not_covered(site: LocalServer, tmp_path: Path) -> None:
    url = sent(site, {})
    site.replies["/admin/"] = Reply(status=302, headers={"Location": "/login/"})
    site.replies["/login/"] = Reply(body=b"<p>who</p>", headers={})
    site.replies["/slash"] = Reply(status=301, headers={"Location": "/slash/"})
    site.replies["/slash/"] = site.replies["/"]
    one, report = look(url, tmp_path, pages=["/", "/admin/", "/slash"])
    assert (report.status, report.looked_at, list(one.scores)) == (ToolStatus.OK, 2, ["/", "/slash"])
    assert [covered.pages for covered in report.covered] == [frozenset({"/", "/slash"})] * 2
    assert report.notes[-1] == (
        "/admin/ leads to /login/, so its own headers were not read and it has no score. Name that page instead."
    )
    _, report = look(url, tmp_path, pages=["/admin/"])
    assert (report.status, report.why) == (
        ToolStatus.INCOMPLETE, "Every page that the plan names leads elsewhere: /admin/ leads to /login/.",
    )  # fmt: skip
