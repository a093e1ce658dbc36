"""The certificate by which one environment is served with TLS, and the authority that signed it.

    APP_HOME=... python certificate.py

Writes tls/authority.pem, and tls/server.pem with the key and the certificate of 127.0.0.1 and localhost, for its owner
only. What is there and is valid for a while yet is kept. Needs the package cryptography, which Go/No-Go's own Python
has; nothing else of this host does.
"""

import datetime as dt
import ipaddress
import sys
from pathlib import Path

from home import Home, OpsError, need, write_atomically

try:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
except ImportError:
    sys.exit("certificate: the package cryptography is missing. Nothing was made. Use the Python of Go/No-Go (.venv).")

VALID = dt.timedelta(days=365)
RENEWED_BEFORE = dt.timedelta(days=90)


def main() -> None:
    home = Home(Path(need("APP_HOME")).resolve())
    now = dt.datetime.now(dt.UTC)
    if home.authority.exists() and home.certificate.exists():
        until = x509.load_pem_x509_certificate(home.certificate.read_bytes()).not_valid_after_utc
        if until - now > RENEWED_BEFORE:
            print(f"The certificate is kept; it is valid until {until:%Y-%m-%d}.")
            return
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    # The name holds the moment, so that a new authority is not taken for an old one that a browser remembers.
    name = named(f"Authority of {home.root.name}, {now:%Y-%m-%d %H:%M:%S}")
    authority = authority_certificate(authority_key, name, now)
    own = server_certificate(key, authority_key, name, now)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_atomically(home.certificate, (private + own.public_bytes(Encoding.PEM)).decode(), mode=0o600)
    write_atomically(home.authority, authority.public_bytes(Encoding.PEM).decode())
    print(f"A certificate was made; it is valid until {own.not_valid_after_utc:%Y-%m-%d}.")


def authority_certificate(key: ec.EllipticCurvePrivateKey, name: x509.Name, now: dt.datetime) -> x509.Certificate:
    use = x509.KeyUsage(
        digital_signature=False, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=False, key_cert_sign=True, crl_sign=True, encipher_only=False, decipher_only=False,
    )  # fmt: skip
    return (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(use, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )  # fmt: skip


def server_certificate(
    key: ec.EllipticCurvePrivateKey, authority_key: ec.EllipticCurvePrivateKey, issuer: x509.Name, now: dt.datetime
) -> x509.Certificate:
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    signed_by = x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key())
    return (
        x509.CertificateBuilder(issuer, named("127.0.0.1"), key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + VALID)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(signed_by, critical=False)
        .sign(authority_key, SHA256())
    )  # fmt: skip


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


if __name__ == "__main__":
    try:
        main()
    except (OpsError, OSError, ValueError) as error:
        sys.exit(f"certificate: {error}")
