"""TLS of the running application by sslyze: protocols, cipher suites, certificate and known attacks."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Self

from django.utils import timezone
from pydantic import Field, model_validator

from checks.kinds.base import RunContext, StepHandle
from checks.plan import Duration, Section
from checks.tools import toolbox
from checks.tools.auditing import asking, tls_judging
from checks.tools.auditing.looking import NotSeen, Seen
from checks.tools.auditing.running import read_json
from checks.tools.auditing.said import Covered, Family, Found, SystemPlace
from checks.tools.origins import origin

#: Each option of sslyze and where its report holds the answer. All of them must have been answered.
SCANS: Final = {
    "--sslv2": "ssl_2_0_cipher_suites", "--sslv3": "ssl_3_0_cipher_suites", "--tlsv1": "tls_1_0_cipher_suites",
    "--tlsv1_1": "tls_1_1_cipher_suites", "--tlsv1_2": "tls_1_2_cipher_suites", "--tlsv1_3": "tls_1_3_cipher_suites",
    "--certinfo": "certificate_info", "--heartbleed": "heartbleed", "--robot": "robot",
    "--openssl_ccs": "openssl_ccs_injection", "--reneg": "session_renegotiation", "--compression": "tls_compression",
}  # fmt: skip


class TlsSection(Section):
    """``days_left``: how long the certificate must be valid yet.

    ``port``: where the environment's own host answers by TLS, when its url does not say so.

    ``not_applicable``: why an environment that is reached by HTTP only is not looked at; refused where it has TLS.
    """

    port: int | None = Field(default=None, ge=1, le=65535, description="Another port of the host, which has TLS.")
    days_left: int = Field(default=21, ge=0, le=365, description="Days for which the certificate must be valid yet.")
    not_applicable: str = Field(
        default="", max_length=500, description="Why an environment that is reached without TLS is not looked at."
    )
    timeout: Duration = timedelta(minutes=5)

    @model_validator(mode="after")
    def is_one_or_the_other(self) -> Self:
        if self.port and self.not_applicable:
            raise ValueError("TLS is either at a port or not applicable")
        return self


@dataclass
class TlsLook:
    section: TlsSection
    authority: str | None = None
    tool: str = "sslyze"
    before: str = ""

    def look(self, context: RunContext, step: StepHandle) -> Seen:
        base = context.environment.url
        try:
            scheme, host, port = origin(base)
        except ValueError as error:
            raise NotSeen(f"The environment's url cannot be asked: {error}.", remedy="Correct the plan.") from None
        if self.section.port:
            scheme, port = "https", self.section.port
        place = SystemPlace(host if port == 443 else f"{host}:{port}")
        if scheme == "http":
            return self._without_tls(base, place)
        if self.section.not_applicable:
            raise NotSeen(
                "The plan says that TLS is not applicable, and the environment's url begins with https.",
                remedy="Take not_applicable out of the plan.",
            )
        found, version = self._asked(context, step, host, port, place)
        covered = [Covered(Family.TLS, places=frozenset({place.name}), rules=tls_judging.judged(found))]
        own = " and the plan's own" if self.authority else ""
        notes = [f"Asked {host}, port {port}. Trusted are Mozilla's list of authorities{own}."]
        return Seen(found, covered, len(SCANS), "questions", version=version, notes=notes)

    def _without_tls(self, base: str, place: SystemPlace) -> Seen:
        if self.section.not_applicable:
            return Seen([], [], 0, "questions", not_applicable=self.section.not_applicable)
        if asking.is_loopback(base):
            raise NotSeen(
                "This environment is reached on this machine without TLS, so there was nothing to look at.",
                remedy="Give the environment the https address that people use, or say in the plan why TLS is not"
                " applicable here (tls: not_applicable).",
            )
        found = [tls_judging.RULES["without-tls"].found("without-tls", place, detail=f"The environment is {base}.")]
        covered = [Covered(Family.TLS, places=frozenset({place.name}), rules=frozenset({"without-tls"}))]
        return Seen(found, covered, 1, "questions")

    def _asked(
        self, context: RunContext, step: StepHandle, host: str, port: int, place: SystemPlace
    ) -> tuple[list[Found], str]:
        argv = toolbox.program(context, "sslyze")
        report = context.scratch / "sslyze.json"
        step.doing(f"{host}, port {port}")
        trusted = ["--certinfo_ca_file", self.authority] if self.authority else []
        target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        done = context.command(
            [*argv, "--quiet", "--json_out", str(report), "--mozilla_config", "disable", *SCANS, *trusted, target],
            timeout=self.section.timeout.total_seconds(),
            check=False,
        )
        tree = read_json(report, self.tool, done)
        answers = answers_of(tree)
        try:
            found = tls_judging.judge(
                answers, host=host, place=place, now=timezone.now(), days_left=self.section.days_left
            )
            version = str(tree["sslyze_version"])
        except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
            raise NotSeen(f"sslyze's report cannot be read: {type(error).__name__} {error}.") from error
        return found, version


def answers_of(tree: Any) -> dict[str, Any]:
    """Each scan's result by its name in the report. NotSeen unless the server was reached and all were answered."""
    try:
        if tree["invalid_server_strings"]:
            raise NotSeen(f"sslyze did not understand the address: {tree['invalid_server_strings'][0]}.")
        (server,) = tree["server_scan_results"]
        if server["connectivity_status"] != "COMPLETED":
            raise NotSeen(
                f"sslyze could not make a connection: {_last_line(server['connectivity_error_trace'])}",
                remedy="See whether the application runs and answers by TLS.",
            )
        scans = server["scan_result"]
        broken = [(name, scans[name]) for name in SCANS.values() if scans[name]["status"] != "COMPLETED"]
        answers = {name: scans[name]["result"] for name in SCANS.values()}
    except (KeyError, TypeError, ValueError) as error:
        raise NotSeen(f"sslyze's report cannot be read: {type(error).__name__} {error}.") from error
    if broken:
        name, scan = broken[0]
        why = f"{scan.get('error_reason') or scan['status']}: {_last_line(scan.get('error_trace'))}"
        raise NotSeen(
            f"sslyze could not answer {len(broken)} of {len(SCANS)} questions; {name}: {why}",
            remedy="Run this again; a server that is busy or restarting breaks connections.",
        )
    return answers


def _last_line(trace: str | None) -> str:
    lines = (trace or "").strip().splitlines()
    return lines[-1][:300] if lines else "it does not say why."
