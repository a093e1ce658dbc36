"""Faults that an audit has to find, each by one of its looks. The plan's own least severity is kept."""

import json
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from checks.kinds.suite import UPLOADS
from checks.plan import Plan
from checks.tools import manifest, storage
from checks.tools.planting.fault import Ground, Planted
from checks.tools.planting.materials import NotPlantable, with_bad_pin, with_file
from checks.tools.planting.proxy import Spoiling

_INSECURE: Final = """import subprocess


def planted(words):
    return subprocess.call(words, shell=True)
"""
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ234567"
_DEBUG: Final = Path(__file__).with_name("django_debug")
_RULE: Final = "gonogo-planted-weakness"
#: Each costs 20 points and more, which is medium.
_POLICIES: Final = ("content-security-policy", "x-frame-options")


def refuse_without_tls(plan: Plan, planned: Mapping[str, Any], environment: str) -> None:
    if planned["tls"].get("not_applicable"):
        raise NotPlantable("the plan says that TLS is not applicable")


def vulnerable_pin(params: Mapping[str, Any], ground: Ground) -> Planted:
    listed, bad = with_bad_pin(*ground.build, (params.get("source") or {}).get("exclude", []))
    build = ground.folder / "requirements.txt"
    build.write_text(listed, encoding="utf-8")
    section = dict(params["packages"])
    if not section.get("installed"):
        return Planted(f"the copied list of packages pins {bad}", bad, build=build)
    added = f"echo {bad.replace(' ', '==')}"
    section["installed"] = _script(section["installed"], after=added, variables={})
    return Planted(f"one package more is said to be installed, {bad}", bad, {"packages": section})


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


def sound_report(params: Mapping[str, Any], ground: Ground) -> Planted:
    return _report(params, ground, "sound", [], "a report in the name of the plan's scanners, which found nothing")


def reported_weakness(params: Mapping[str, Any], ground: Ground) -> Planted:
    place = {"physicalLocation": {"artifactLocation": {"uri": "gonogo_planted.py"}, "region": {"startLine": 1}}}
    result = {"ruleId": _RULE, "level": "error", "message": {"text": "It was planted."}, "locations": [place]}
    return _report(params, ground, "flawed", [result], "a report in the name of the plan's scanners tells an error")


def _report(params: Mapping[str, Any], ground: Ground, word: str, results: list[dict[str, Any]], told: str) -> Planted:
    """A SARIF file among the uploaded ones of the application, as another scanner would have sent it."""
    application, _, run = ground.owner
    key = f"{_reports(application)}/{run}.{word}.sarif"
    names = dict(params.get("sarif") or {}).get("tools") or ["gonogo-planted"]
    runs = [
        {
            "tool": {"driver": {"name": name, "rules": [{"id": _RULE}]}},
            "invocations": [{"executionSuccessful": True}], "results": results,
        }
        for name in names
    ]  # fmt: skip
    storage.remove_surely(key)
    storage.write(key, [json.dumps({"version": "2.1.0", "runs": runs}).encode()])
    return Planted(told, _RULE, {"uploaded": key}, removed=lambda: storage.remove_surely(key))


def _reports(application: str) -> str:
    return f"{UPLOADS}/{application}/{manifest.ASIDE}"


def remove_reports(application: str, run: str) -> None:
    """Take away the reports that a run (hex) put among the uploaded ones; one whose worker was killed did not."""
    for name in storage.names(_reports(application)):
        if name.partition(".")[0] == run:
            storage.remove_surely(f"{_reports(application)}/{name}")
