"""What is wrong with a server's TLS, judged from the answers that sslyze reports."""

import ipaddress
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from checks.tools.auditing.looking import Rule
from checks.tools.auditing.said import Family, Found, Severity, SystemPlace

_ASKED: Final = {
    "ssl_2_0_cipher_suites": "SSL 2.0", "ssl_3_0_cipher_suites": "SSL 3.0", "tls_1_0_cipher_suites": "TLS 1.0",
    "tls_1_1_cipher_suites": "TLS 1.1", "tls_1_2_cipher_suites": "TLS 1.2", "tls_1_3_cipher_suites": "TLS 1.3",
}  # fmt: skip
_OLD: Final = {
    "SSL 2.0": Severity.HIGH,
    "SSL 3.0": Severity.HIGH,
    "TLS 1.0": Severity.MEDIUM,
    "TLS 1.1": Severity.MEDIUM,
}
#: Parts of names of suites that keep nothing secret any more, and of those that are merely too weak.
_BROKEN: Final = ("_NULL", "EXPORT", "_RC4", "_RC2", "_DES_CBC", "_DES40", "_DES_64")
_WEAK: Final = ("_3DES", "_IDEA", "_SEED", "_MD5")
#: The stores that are believed: what Firefox ships, and the authority that the plan declares.
_BELIEVED: Final = ("Mozilla", "Supplied CA file")
_SOUND_ROBOT: Final = frozenset({"NOT_VULNERABLE_NO_ORACLE", "NOT_VULNERABLE_RSA_NOT_SUPPORTED"})
_WEAK_ROBOT: Final = frozenset({"VULNERABLE_WEAK_ORACLE", "VULNERABLE_STRONG_ORACLE"})
_LEAST_RSA: Final = 2048
_LEAST_CURVE: Final = 224
_TLS_GUIDE: Final = "https://wiki.mozilla.org/Security/Server_Side_TLS"


def _rule(
    title: str, severity: Severity, remedy: str, cwe: int, asvs: str = "", owasp: str = "", link: str = _TLS_GUIDE
) -> Rule:
    return Rule(Family.TLS, title, severity, remedy, (cwe,), (asvs,) if asvs else (), link, owasp)


_MODERN: Final = "Allow TLS 1.2 and 1.3 only."
_UPDATE: Final = "Update the TLS library of the server or of the proxy before it."
_NVD: Final = "https://nvd.nist.gov/vuln/detail/"
RULES: Final[dict[str, Rule]] = {
    "without-tls": _rule("The application is reached without TLS", Severity.HIGH, "Serve it by HTTPS.", 319, "12.2.1"),
    **{
        f"accepts-{name.lower().replace(' ', '-')}": _rule(f"{name} is accepted", severity, _MODERN, 327, "12.1.1")
        for name, severity in _OLD.items()
    },
    "without-tls-1.3": _rule("TLS 1.3 is not offered", Severity.LOW, "Offer TLS 1.3 beside 1.2.", 327, "12.1.1"),
    "broken-cipher-suites": _rule(
        "Cipher suites that keep nothing secret are accepted", Severity.HIGH,
        "Accept suites with AES-GCM or ChaCha20 and ECDHE only.", 327, "12.1.2",
    ),
    "weak-cipher-suites": _rule(
        "Weak cipher suites are accepted", Severity.MEDIUM,
        "Accept suites with AES-GCM or ChaCha20 and ECDHE only.", 327, "12.1.2",
    ),
    "without-forward-secrecy": _rule(
        "Cipher suites without forward secrecy are accepted", Severity.LOW, "Accept suites with ECDHE only.", 326,
        "12.1.2",
    ),
    "weak-key-exchange": _rule(
        "Keys are exchanged with a group that is too small", Severity.MEDIUM,
        "Use ECDHE, or Diffie-Hellman with 2048 bits and more.", 326, "11.6.2",
    ),
    "certificate-expired": _rule(
        "The certificate is not valid today", Severity.HIGH, "Renew it, and let it be renewed by itself.", 298, "12.2.2"
    ),
    "certificate-expires-soon": _rule(
        "The certificate expires soon", Severity.MEDIUM, "Renew it, and let it be renewed by itself.", 298, "12.2.2"
    ),
    "certificate-of-another-host": _rule(
        "The certificate is for another host", Severity.HIGH, "Get one that names this host.", 297, "12.2.2"
    ),
    "certificate-not-trusted": _rule(
        "The certificate's authority is not trusted", Severity.HIGH,
        "Send the whole chain of a public authority, or declare an authority of your own in the plan (authority).",
        296, "12.2.2",
    ),
    "certificate-weak-key": _rule(
        "The certificate's key is too short", Severity.HIGH, "Make one with RSA of 2048 bits or more, or ECDSA P-256.",
        326, "11.2.3",
    ),
    "certificate-weak-signature": _rule(
        "The certificate is signed with a broken hash", Severity.HIGH, "Get one that is signed with SHA-256 or better.",
        328, "11.4.1",
    ),
    "heartbleed": _rule(
        "Heartbleed: the server gives away its memory (CVE-2014-0160)", Severity.CRITICAL,
        f"{_UPDATE} Then make new keys.", 125, "15.2.1", "A03", f"{_NVD}CVE-2014-0160",
    ),
    "ccs-injection": _rule(
        "Handshakes can be taken over (CVE-2014-0224)", Severity.HIGH, _UPDATE, 326, "15.2.1", "A03",
        f"{_NVD}CVE-2014-0224",
    ),
    "robot": _rule(
        "ROBOT: answers help to decrypt what was recorded", Severity.HIGH,
        f"{_UPDATE} Do not accept suites with RSA key exchange.", 203, "11.3.1", "A04", "https://robotattack.org/",
    ),
    "insecure-renegotiation": _rule(
        "Others can put requests before a visitor's (CVE-2009-3555)", Severity.HIGH, _UPDATE, 300, "15.2.1", "",
        f"{_NVD}CVE-2009-3555",
    ),
    "client-renegotiation": _rule(
        "Visitors can make the server work by endless renegotiation", Severity.MEDIUM,
        "Turn renegotiation by clients off.", 400, "", "A06",
    ),
    "compression": _rule(
        "TLS compression gives away secrets by their length (CVE-2012-4929)", Severity.MEDIUM,
        "Turn TLS compression off.", 203, "", "A04", f"{_NVD}CVE-2012-4929",
    ),
}  # fmt: skip

Said = tuple[str, str]


def judge(answers: Mapping[str, Any], *, host: str, place: SystemPlace, now: datetime, days_left: int) -> list[Found]:
    """Everything that is wrong. KeyError, TypeError or ValueError when an answer has another shape than expected."""
    versions = {name: answers[key] for key, name in _ASKED.items()}
    said = [
        *_protocols(versions),
        *_suites(versions),
        *_certificates(answers["certificate_info"], host, now, days_left),
        *_attacks(answers),
    ]
    return [_found(name, place, detail, versions) for name, detail in said]


def judged(found: list[Found]) -> frozenset[str]:
    """The rules that were judged: while a certificate is wrong in itself, whether it is trusted is not known."""
    told = {each.rule for each in found}
    wrong = told & {
        "certificate-expired",
        "certificate-of-another-host",
        "certificate-weak-key",
        "certificate-weak-signature",
    }
    return frozenset(RULES) - ({"certificate-not-trusted"} - told if wrong else frozenset())


def _found(name: str, place: SystemPlace, detail: str, versions: Mapping[str, Any]) -> Found:
    severity = None
    if name == "without-forward-secrecy" and not versions["TLS 1.3"]["is_tls_version_supported"]:
        # Without TLS 1.3, whose suites all have it, more visitors end up there.
        severity = Severity.MEDIUM
    return RULES[name].found(name, place, detail=detail, severity=severity)


def _protocols(versions: Mapping[str, Any]) -> Iterator[Said]:
    supported = [name for name, answer in versions.items() if answer["is_tls_version_supported"]]
    if not supported:
        raise ValueError("no version of the protocol is supported although a connection was made")
    for name in supported:
        if name in _OLD:
            yield f"accepts-{name.lower().replace(' ', '-')}", f"Accepted: {', '.join(supported)}."
    if "TLS 1.3" not in supported:
        yield "without-tls-1.3", f"Accepted: {', '.join(supported)}."


def _suites(versions: Mapping[str, Any]) -> Iterator[Said]:
    """Each rule once, with the suites of all versions. Those of SSL 2.0 are all broken; it is told by itself."""
    accepted = {
        each["cipher_suite"]["name"]: each
        for name, answer in versions.items()
        if name != "SSL 2.0"
        for each in answer["accepted_cipher_suites"]
    }
    broken = {name for name, each in accepted.items() if _is_broken(name, each["cipher_suite"])}
    weak = {name for name in accepted if any(part in name for part in _WEAK)} - broken
    static = {
        name for name in accepted if name.startswith(("TLS_RSA_WITH_", "TLS_RSA_PSK_", "TLS_DH_RSA_", "TLS_DH_DSS_",
                                                      "TLS_ECDH_RSA_", "TLS_ECDH_ECDSA_"))
    } - broken - weak  # fmt: skip
    small = {
        name
        for name, each in accepted.items()
        if (key := each["ephemeral_key"]) and key["type_name"] == "DH" and key["size"] < _LEAST_RSA
    }
    for rule, names in (
        ("broken-cipher-suites", broken), ("weak-cipher-suites", weak), ("without-forward-secrecy", static),
        ("weak-key-exchange", small),
    ):  # fmt: skip
        if names:
            yield rule, f"Accepted: {_listed(names)}."


def _is_broken(name: str, suite: Mapping[str, Any]) -> bool:
    return bool(suite["is_anonymous"]) or any(part in name for part in _BROKEN)


def _listed(names: set[str]) -> str:
    shown = sorted(names)
    more = f" and {len(shown) - 6} more" if len(shown) > 6 else ""
    return ", ".join(shown[:6]) + more


def _certificates(answer: Mapping[str, Any], host: str, now: datetime, days_left: int) -> Iterator[Said]:
    """Each rule once, although a server may have several certificates (RSA and ECDSA)."""
    deployments = answer["certificate_deployments"]
    if not deployments:
        raise ValueError("no certificate was received")
    told: dict[str, str] = {}
    for deployment in deployments:
        for rule, detail in _certificate(deployment, host, now, days_left):
            told.setdefault(rule, detail)
    yield from told.items()


def _certificate(deployment: Mapping[str, Any], host: str, now: datetime, days_left: int) -> Iterator[Said]:
    chain = deployment["received_certificate_chain"]
    leaf = chain[0]
    faults = [*_dates(leaf, now), *_names(leaf, host), *_strength(deployment, chain)]
    yield from faults
    until = datetime.fromisoformat(leaf["not_valid_after"])
    if now <= until < now + timedelta(days=days_left):
        yield "certificate-expires-soon", f"It is valid until {until:%Y-%m-%d}, for {(until - now).days} days yet."
    results = {each["trust_store"]["name"]: each for each in deployment["path_validation_results"]}
    tried = [results[name] for name in _BELIEVED if name in results]
    if not tried:
        raise ValueError("the report does not say whether the certificate is trusted")
    own = leaf["subject"]["rfc4514_string"] == leaf["issuer"]["rfc4514_string"]
    # A date, a name or a key that is wrong makes the validation fail by itself, whoever signed the certificate.
    if not any(each["was_validation_successful"] for each in tried) and (own or not faults):
        signed = "It is signed by itself." if own else f"It is signed by {leaf['issuer']['rfc4514_string']}."
        yield "certificate-not-trusted", f"{signed} {tried[-1]['validation_error'] or ''}".strip()


def _dates(leaf: Mapping[str, Any], now: datetime) -> Iterator[Said]:
    since, until = (datetime.fromisoformat(leaf[name]) for name in ("not_valid_before", "not_valid_after"))
    if not since <= now <= until:
        yield "certificate-expired", f"It is valid from {since:%Y-%m-%d} until {until:%Y-%m-%d}."


def _names(leaf: Mapping[str, Any], host: str) -> Iterator[Said]:
    named = leaf["subject_alternative_name"]
    names = [str(each) for each in (*named["dns_names"], *named["ip_addresses"])]
    if not any(covers(name, host) for name in names):
        yield "certificate-of-another-host", f"It names {', '.join(names[:5]) or 'no host at all'}, not {host}."


def covers(name: str, host: str) -> bool:
    """Whether a certificate's name is of this host; a star stands for exactly the first part."""
    name, host = name.lower().rstrip("."), host.lower().rstrip(".")
    try:
        return ipaddress.ip_address(name) == ipaddress.ip_address(host)
    except ValueError:
        pass
    if name.startswith("*."):
        return "." in host and host.split(".", 1)[1] == name[2:]
    return name == host


def _strength(deployment: Mapping[str, Any], chain: list[Mapping[str, Any]]) -> Iterator[Said]:
    key = chain[0]["public_key"]
    least = _LEAST_CURVE if key["algorithm"].startswith(("EC", "Ed", "EllipticCurve")) else _LEAST_RSA
    if (key["key_size"] or least) < least:
        yield "certificate-weak-key", f"{key['algorithm']} with {key['key_size']} bits."
    weak = {"md5", "sha1"}
    # The signature of an authority on itself says nothing, and it is often old.
    signed = [each for each in chain if each["subject"]["rfc4514_string"] != each["issuer"]["rfc4514_string"]] or chain[
        :1
    ]
    hashes = {(each["signature_hash_algorithm"] or {}).get("name", "") for each in signed} & weak
    if hashes or deployment["verified_chain_has_sha1_signature"]:
        yield "certificate-weak-signature", f"Signed with {', '.join(sorted(hashes)) or 'sha1'} in its chain."


def _attacks(answers: Mapping[str, Any]) -> Iterator[Said]:
    if answers["heartbleed"]["is_vulnerable_to_heartbleed"]:
        yield "heartbleed", ""
    if answers["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"]:
        yield "ccs-injection", ""
    robot = answers["robot"]["robot_result"]
    if robot in _WEAK_ROBOT:
        yield "robot", f"sslyze says {robot}."
    elif robot not in _SOUND_ROBOT:
        raise ValueError(f"whether the server is open to ROBOT is not known: {robot}")
    renegotiation = answers["session_renegotiation"]
    if not renegotiation["supports_secure_renegotiation"]:
        yield "insecure-renegotiation", ""
    if renegotiation["is_vulnerable_to_client_renegotiation_dos"]:
        tries = renegotiation["client_renegotiations_success_count"]
        yield "client-renegotiation", f"{tries} renegotiations were accepted one after the other."
    if answers["tls_compression"]["supports_compression"]:
        yield "compression", ""
