"""Faults that an audit has to find, each by one of its looks. The plan's own least severity is kept."""

import secrets
import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from checks.plan import Plan
from checks.tools.auditing.looking import at_least
from checks.tools.auditing.said import Severity
from checks.tools.planting.fault import Ground, Planted
from checks.tools.planting.materials import NotPlantable, with_bad_pin, with_file
from checks.tools.planting.proxy import Spoiling

Needed = Callable[[Plan, Mapping[str, Any], str], None]

_INSECURE: Final = """import subprocess


def planted(words):
    return subprocess.call(words, shell=True)
"""
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ234567"
_DEBUG: Final = Path(__file__).with_name("django_debug")
#: Each costs 20 points and more, which is medium.
_POLICIES: Final = ("content-security-policy", "x-frame-options")


def refuse_light(severity: Severity) -> Needed:
    """NotPlantable where the plan's audit lets pass what is so grave."""

    def needed(plan: Plan, planned: Mapping[str, Any], environment: str) -> None:
        limit = Severity(planned.get("fail_at", "high"))
        if not at_least(severity, limit):
            raise NotPlantable(f"the plan's audit says no from {limit} on, and this fault is {severity}")

    return needed


def refuse_without_tls(plan: Plan, planned: Mapping[str, Any], environment: str) -> None:
    refuse_light(Severity.HIGH)(plan, planned, environment)
    if planned["tls"].get("not_applicable"):
        raise NotPlantable("the plan says that TLS is not applicable")


def vulnerable_pin(params: Mapping[str, Any], ground: Ground) -> Planted:
    listed, bad = with_bad_pin(*ground.build)
    build = ground.folder / "requirements.txt"
    build.write_text(listed, encoding="utf-8")
    return Planted(f"the copied list of packages pins {bad}", bad, build=build)


def insecure_code(params: Mapping[str, Any], ground: Ground) -> Planted:
    name = "gonogo_planted.py"
    return _in_source(
        params, ground, name, _INSECURE, f"{name} in the copied source starts a shell with what it is given"
    )


def leaked_secret(params: Mapping[str, Any], ground: Ground) -> Planted:
    name = "gonogo_planted.txt"
    # Made up each time, so that no key stands in this source either.
    key = f"key = AKIA{''.join(secrets.choice(_LETTERS) for _ in range(16))}\n"
    return _in_source(params, ground, name, key, f"{name} in the copied source holds a key (a made-up one)")


def _in_source(params: Mapping[str, Any], ground: Ground, name: str, text: str, told: str) -> Planted:
    """One file more beside the source: in a copy of the build, or where the plan's command unpacks it."""
    source = dict(params.get("source") or {})
    if not source.get("unpack"):
        return Planted(told, name, build=with_file(ground.build[0], ground.folder, name, text))
    added = f'printf %s "$GONOGO_PLANTED" > "$GONOGO_SOURCE/{name}"'
    unpack = _script(source["unpack"], after=added, variables={"GONOGO_PLANTED": text})
    return Planted(told, name, {"source": {**source, "unpack": unpack}})


def debug_left_on(params: Mapping[str, Any], ground: Ground) -> Planted:
    """In the processes of the plan's command only, after Django has read the settings that the release really has."""
    marker, begun = ground.folder / "planted", ground.folder / "planted.begun"
    before = f': > "$GONOGO_PLANTED.begun"\nexport PYTHONPATH={shlex.quote(str(_DEBUG))}"${{PYTHONPATH:+:$PYTHONPATH}}"'
    section = params["deploy_check"]
    command = _script(section["command"], before=before, variables={"GONOGO_PLANTED": str(marker)})

    def missed() -> str:
        # A check that never ran the command is no excuse for it.
        arrived = marker.exists() or not begun.exists()
        return "" if arrived else "no Django that the plan's command started could be given another setting"

    told = "the command that checks the settings runs with DEBUG on"
    # An application may silence Django's own rule and have another one for it.
    return Planted(
        told, "security.W018", {"deploy_check": {**section, "command": command}}, missed=missed,
        known_as=("DEBUG", "debug"),
    )  # fmt: skip


def _script(
    command: Mapping[str, Any], *, before: str = "", after: str = "", variables: Mapping[str, str]
) -> dict[str, Any]:
    """The plan's command with a line before it, or after it when it went well."""
    own = shlex.join(command["argv"]) if command.get("argv") else command["script"]
    kept = {key: value for key, value in command.items() if key != "argv"}
    script = "\n".join(part for part in (before, own, after) if part)
    return {**kept, "script": script, "variables": {**command.get("variables", {}), **variables}}


def expired_certificate(params: Mapping[str, Any], ground: Ground) -> Planted:
    told = "a server in front shows a certificate that expired yesterday"
    section = {**params["tls"], "port": None}
    return Planted(told, "certificate-expired", {"tls": section}, Spoiling(expired=True))


def missing_policy(params: Mapping[str, Any], ground: Ground) -> Planted:
    name = next((name for name in _POLICIES if name in ground.headers), "")
    if not name:
        raise NotPlantable("the first page sends no policy that could be taken away")
    return Planted(f"the header {name} is missing", name, {}, Spoiling(name))
