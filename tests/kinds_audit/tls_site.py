"""Real TLS servers on this machine, whose flaws are planted by name; without any they are sound."""

import datetime as dt
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

FLAWS = {
    "old-protocols", "without-tls-1.3", "weak-ciphers", "without-forward-secrecy", "expired", "expires-soon",
    "other-name", "self-signed", "unknown-authority", "weak-key", "weak-signature",
}  # fmt: skip

#: Sound servers that look a little like a flawed one, beside the plainly sound one.
VARIANTS = ("", "30-days-left", "rsa-2048", "tls-1.3-only")


@dataclass(frozen=True)
class TlsSite:
    """``authority``: a PEM file of who signed the certificate of a sound server."""

    url: str
    authority: Path


@contextmanager
def serving_tls(folder: Path, *flaws: str, variant: str = "") -> Iterator[TlsSite]:
    assert FLAWS.issuperset(flaws), flaws
    assert variant in VARIANTS
    authority, chain = _certificates(folder, {*flaws, variant})
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if {"weak-key", "weak-signature", "old-protocols", "weak-ciphers"}.intersection(flaws):
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
    if "weak-ciphers" in flaws:
        context.set_ciphers("ALL:eNULL:aNULL:@SECLEVEL=0")
    if "without-forward-secrecy" in flaws:
        context.set_ciphers("AES128-GCM-SHA256:@SECLEVEL=0")
    context.minimum_version = ssl.TLSVersion.TLSv1 if "old-protocols" in flaws else ssl.TLSVersion.TLSv1_2
    if "without-tls-1.3" in flaws:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    if variant == "tls-1.3-only":
        context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_cert_chain(chain)
    with _served(context) as port:
        yield TlsSite(f"https://localhost:{port}", authority)


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_args: Any) -> None:
        """Quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    context: ssl.SSLContext

    def finish_request(self, request: Any, client_address: Any) -> None:
        # In the thread of the connection: a handshake that fails or never ends must not stop the others.
        try:
            request.settimeout(10)
            with self.context.wrap_socket(request, server_side=True) as secured:
                super().finish_request(secured, client_address)
        except OSError:
            return


@contextmanager
def _served(context: ssl.SSLContext) -> Iterator[int]:
    server = _Server(("127.0.0.1", 0), _Answers)
    server.context = context
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def _certificates(folder: Path, flaws: set[str]) -> tuple[Path, Path]:
    """A PEM file of the authority, and one of the server's key with its certificate."""
    now = dt.datetime.now(dt.UTC)
    key = _key(flaws)
    authority_key = ec.generate_private_key(ec.SECP256R1())
    signing: Any = key if "self-signed" in flaws else authority_key
    name = "elsewhere.example" if "other-name" in flaws else "localhost"
    days = 10 if "expires-soon" in flaws else 30 if "30-days-left" in flaws else 200
    until = now - dt.timedelta(days=1) if "expired" in flaws else now + dt.timedelta(days=days)
    subject = _named(name)
    issuer = subject if "self-signed" in flaws else _named("Authority of the tests")
    certificate = (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=20)).not_valid_after(until)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()), critical=False)
        .sign(signing, hashes.SHA256())
    )  # fmt: skip
    chain, authority = folder / "server.pem", folder / "authority.pem"
    chain.write_bytes(_pem_of(key) + certificate.public_bytes(serialization.Encoding.PEM))
    if "weak-signature" in flaws:
        _sign_by_sha1(chain)
    other = ec.generate_private_key(ec.SECP256R1())
    believed = other if "unknown-authority" in flaws else authority_key
    authority.write_bytes(_authority(believed, now).public_bytes(serialization.Encoding.PEM))
    return authority, chain


def _sign_by_sha1(chain: Path) -> None:
    """The same certificate by its own key and SHA-1, which only the command of OpenSSL still signs with."""
    made = ["openssl", "x509", "-in", chain, "-signkey", chain, "-sha1", "-out", chain.with_suffix(".sha1")]
    subprocess.run(made, check=True, capture_output=True)
    key = chain.read_text().partition("-----BEGIN CERTIFICATE")[0]
    chain.write_text(key + chain.with_suffix(".sha1").read_text())


def _key(flaws: set[str]) -> Any:
    if "weak-key" in flaws:
        return rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - a planted flaw
    if {"without-forward-secrecy", "weak-ciphers", "rsa-2048"} & flaws:
        return rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return ec.generate_private_key(ec.SECP256R1())


def _authority(key: ec.EllipticCurvePrivateKey, now: dt.datetime) -> x509.Certificate:
    name = _named("Authority of the tests")
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=30)).not_valid_after(now + dt.timedelta(days=400))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_may_sign(), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip


def _may_sign() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem_of(key: Any) -> bytes:
    plain = serialization.NoEncryption()
    kept: bytes = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    return kept
