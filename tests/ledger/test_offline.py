"""The offline verifier's own Ed25519, and that it needs nothing but an old bare Python."""

import ast
import hashlib
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from releases import verify_ledger
from releases.verify_ledger import signature_holds

# RFC 8032, section 7.1: public key, message, signature.
VECTORS = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc659"
        "4a7c15e9716ed28dc027beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("public_key", "message", "signature"), VECTORS)
def test_the_vectors_of_rfc_8032_hold(public_key: str, message: str, signature: str) -> None:
    key, signed = bytes.fromhex(public_key), bytes.fromhex(signature)
    assert signature_holds(key, bytes.fromhex(message), signed)
    assert not signature_holds(key, bytes.fromhex(message) + b"x", signed)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(min_value=0, max_value=511))
@settings(max_examples=25, deadline=None)
def test_it_agrees_with_the_cryptography_package_also_on_a_flipped_bit(seed: bytes, message: bytes, bit: int) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    public_key, signature = key.public_key().public_bytes_raw(), key.sign(message)
    assert signature_holds(public_key, message, signature)
    flipped = bytearray(signature)
    flipped[bit // 8] ^= 1 << bit % 8
    assert not signature_holds(public_key, message, bytes(flipped))


def test_a_signature_with_a_scalar_beyond_the_order_is_refused() -> None:
    """Else each signature had a second form (RFC 8032, section 5.1.7)."""
    key = Ed25519PrivateKey.from_private_bytes(bytes(32))
    signature = key.sign(b"message")
    order = 2**252 + 27742317777372353535851937790883648493
    beyond = (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")
    assert not signature_holds(key.public_key().public_bytes_raw(), b"message", signature[:32] + beyond)


@pytest.mark.parametrize(
    ("public_key", "signature"), [(bytes(31), bytes(64)), (bytes(32), bytes(63)), (b"\xff" * 32, bytes(64))]
)
def test_nonsense_is_refused(public_key: bytes, signature: bytes) -> None:
    assert not signature_holds(public_key, b"message", signature)


def test_it_is_python_3_8_and_imports_the_standard_library_only() -> None:
    source = Path(verify_ledger.__file__).read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    imported = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").split(".")[0])
    assert imported <= sys.stdlib_module_names


def test_the_genesis_is_32_zero_bytes_and_the_seal_is_as_documented() -> None:
    assert bytes(32) == verify_ledger.GENESIS
    sealed = verify_ledger.seal_hash(bytes(32), 1, b"{}")
    assert sealed == hashlib.sha256(bytes(32) + (1).to_bytes(8, "big") + b"{}").digest()
