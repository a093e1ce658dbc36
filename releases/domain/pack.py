"""The evidence pack: everything that was known about a release, as one file that needs no program to be read.

The ledger's bundle inside carries its own verifier; SHA256SUMS lets anybody check the rest.
"""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Mapping
from datetime import datetime
from typing import IO, Any

from django.core.files.storage import default_storage
from django.utils import timezone

from releases.domain import ledger
from releases.domain.gate import Gate, canonical_manifest, evaluate
from releases.domain.items import ItemStatus
from releases.domain.positions import RiskPosition
from releases.domain.wording import stamp
from releases.enums import EvidenceSource
from releases.models import Evidence, Release, User

_READ_ME = """Evidence pack of {release}
Made {at}. Times are UTC.

release.json      what the release is, its state, and the gate as it stood when this was made
plan.yaml         the plan it follows; its meaning has the SHA-256 {plan}
checklist.json    each item with the evidence that decides it
evidence.json     every answer that was ever recorded
risks.json        the risk register with all assessments
votes.json        every vote, also withdrawn ones, with the digest it was cast over
manifests/        what was voted on; the SHA-256 of each file is its name and the digest in votes.json
waivers.json, break_glass.json
attachments/      files that people signed with; attachments.json says of each whether it is still as it was signed.
                  What a signature only links to lies elsewhere: nothing here vouches that it was not changed
cases.json        every verdict on a case of user acceptance, and of each screenshot whether it is still as it was sent
screenshots/      those pictures
ledger.zip        the ledger's entries about this release, with the program that verifies them
SHA256SUMS        check with: sha256sum -c SHA256SUMS

Files that runs kept (backups, reports, logs) stay in storage; evidence.json names them with their SHA-256.
The build itself has the SHA-256 {build}.
"""


class _Pack:
    """A zip file that remembers the digest of everything written to it."""

    def __init__(self, target: IO[bytes]) -> None:
        self.zip = zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED)
        self.sums: dict[str, str] = {}

    def add(self, name: str, data: bytes) -> None:
        self.zip.writestr(name, data)
        self.sums[name] = hashlib.sha256(data).hexdigest()

    def add_json(self, name: str, value: Any) -> None:
        self.add(name, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True).encode() + b"\n")

    def add_file(self, name: str, source: IO[bytes]) -> None:
        hasher = hashlib.sha256()
        with self.zip.open(name, "w", force_zip64=True) as inside:
            while chunk := source.read(1024 * 1024):
                hasher.update(chunk)
                inside.write(chunk)
        self.sums[name] = hasher.hexdigest()

    def close(self) -> None:
        lines = (f"{digest}  {name}\n" for name, digest in sorted(self.sums.items()))
        self.zip.writestr("SHA256SUMS", "".join(lines))
        self.zip.close()


def build(release: Release, *, actor: User) -> IO[bytes]:
    """The pack as an open temporary file at its start; closing it removes it. The export is a ledger entry."""
    target: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    pack = _Pack(target)
    gate = evaluate(release)
    evidence = list(release.evidence.select_related("author", "environment", "item"))
    plan = release.plan_version
    pack.add(
        "README.txt",
        _READ_ME.format(
            release=release, at=stamp(timezone.now()), plan=plan.digest, build=release.build_digest
        ).encode(),
    )
    pack.add_json("release.json", _release(release, gate))
    pack.add("plan.yaml", plan.text.encode())
    pack.add_json("checklist.json", [_item(status) for status in gate.items])
    pack.add_json("evidence.json", [_evidence(each) for each in evidence])
    pack.add_json("risks.json", [_risk(position) for position in gate.risks])
    _add_approvals(pack, release)
    _add_attachments(pack, evidence)
    _add_cases(pack, release)
    with tempfile.TemporaryFile() as bundle:
        ledger.bundle(writer=bundle, release=release, actor=actor)
        bundle.seek(0)
        pack.add_file("ledger.zip", bundle)
    pack.close()
    target.seek(0)
    return target


def _at(value: datetime | None) -> str | None:
    return stamp(value) if value else None


def _release(release: Release, gate: Gate) -> dict[str, Any]:
    return {
        "id": str(release.pk),
        "application": release.application.slug,
        "version": release.version,
        "title": release.title,
        "notes": release.notes,
        "build": {"name": release.build_name, "sha256": release.build_digest, "size": release.build_size},
        "plan": {"number": release.plan_version.number, "digest": release.plan_version.digest},
        "from": release.source_environment.name,
        "to": release.target_environment.name,
        "requested_by": str(release.requester),
        "state": release.state,
        "state_since": _at(release.state_since),
        "window": [_at(release.window_opens), _at(release.window_closes)],
        "live_at": _at(release.live_at),
        "gate": {
            "verdict": gate.verdict.value,
            "manifest": gate.digest,
            "blockers": [{"title": blocker.title, "text": blocker.text} for blocker in gate.blockers],
        },
    }


def _item(status: ItemStatus) -> dict[str, Any]:
    return {
        "key": status.item.key,
        "requirement": status.item.requirement,
        "title": status.item.title,
        "blocking": status.item.blocking,
        "attested": status.item.attested,
        "state": status.state.value,
        "reason": status.reason,
        "evidence": str(status.evidence.pk) if status.evidence else None,
        "valid_until": _at(status.valid_until),
    }


def _evidence(each: Evidence) -> dict[str, Any]:
    return {
        "id": str(each.pk),
        "source": each.source,
        "kind": each.kind,
        "section": each.section,
        "section_digest": each.section_digest,
        "item": each.item.key if each.item else None,
        "environment": each.environment.name if each.environment else None,
        "build_digest": each.build_digest,
        "run": each.run_number,
        "verdict": each.verdict,
        "summary": each.summary,
        "figures": each.figures,
        "artifacts": each.artifacts,
        "link": each.link,
        "link_note": each.link_note,
        "author": str(each.author) if each.author else None,
        "recorded_at": _at(each.recorded_at),
        "valid_until": _at(each.valid_until),
    }


def _risk(position: RiskPosition) -> dict[str, Any]:
    risk = position.risk
    return {
        "key": risk.key,
        "title": risk.title,
        "inherent": [risk.inherent_likelihood, risk.inherent_impact],
        "current": [position.likelihood, position.impact],
        "residual": [risk.residual_likelihood, risk.residual_impact],
        "appetite": risk.appetite,
        "treatment": position.treatment.value,
        "why": position.reason,
        "opened": _at(position.risk.opened_at) if position.opened else None,
        "mitigations": [{"text": each.text, "proven": each.proven} for each in position.mitigations],
        "assessments": [
            {
                "likelihood": each.likelihood,
                "impact": each.impact,
                "treatment": each.treatment,
                "reason": each.reason,
                "by": str(each.author),
                "at": _at(each.created_at),
                "confirmed_by": str(each.confirmed_by) if each.confirmed_by else None,
                "confirmed_at": _at(each.confirmed_at),
            }
            for each in risk.assessments.select_related("author", "confirmed_by")
        ],
    }


def _add_approvals(pack: _Pack, release: Release) -> None:
    votes = release.votes.select_related("voter")
    pack.add_json(
        "votes.json",
        [
            {
                "station": vote.station,
                "voter": str(vote.voter),
                "choice": vote.choice,
                "comment": vote.comment,
                "manifest": vote.manifest_id,
                "cast_at": _at(vote.cast_at),
                "expires_at": _at(vote.expires_at),
                "withdrawn_at": _at(vote.withdrawn_at),
            }
            for vote in votes
        ],
    )
    for manifest in release.manifests.all():
        # The very bytes that were hashed, so that the file's own digest is the one that was signed.
        pack.add(f"manifests/{manifest.digest}.json", canonical_manifest(manifest.document))
    signatures = ("reason", "requested_by", "requested_at", "approved_by", "approved_at", "expires_at")
    glasses = release.break_glass.select_related("requested_by", "approved_by")
    pack.add_json(
        "break_glass.json",
        [{**_signed(glass, *signatures, "used_at"), "blockers": glass.blockers} for glass in glasses],
    )
    waivers = [waiver for item in release.items.prefetch_related("waivers") for waiver in item.waivers.all()]
    pack.add_json(
        "waivers.json",
        [{"item": waiver.item.key, **_signed(waiver, *signatures, "revoked_by", "revoked_at")} for waiver in waivers],
    )


def _signed(row: Any, *names: str) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in names}
    return {
        name: stamp(value) if isinstance(value, datetime) else None if value is None else str(value)
        for name, value in values.items()
    }


def _add_attachments(pack: _Pack, evidence: list[Evidence]) -> None:
    """Every file that people signed with, and whether it is still the one whose digest the ledger has."""
    stood = []
    for each in evidence:
        if each.source != EvidenceSource.SIGN_OFF:
            continue
        for artifact in each.artifacts:
            name = f"attachments/{each.pk}/{artifact['name']}"
            state = _add_kept(pack, name, artifact, "signed")
            stood.append({"file": name, "sha256": artifact["sha256"], "state": state})
    pack.add_json("attachments.json", stood)


def _add_cases(pack: _Pack, release: Release) -> None:
    """Every verdict on a case, also of earlier builds, and the pictures that came with them."""
    told = []
    for each in release.case_results.select_related("tester"):
        shot = {}
        if each.screenshot:
            name = f"screenshots/{each.pk}/{each.screenshot['name']}"
            state = _add_kept(pack, name, each.screenshot, "sent")
            shot = {"file": name, "sha256": each.screenshot["sha256"], "state": state}
        told.append(
            {
                "case": each.case,
                "case_digest": each.case_digest,
                "build_digest": each.build_digest,
                "verdict": each.verdict,
                "note": each.note,
                "tester": str(each.tester),
                "recorded_at": _at(each.recorded_at),
                "screenshot": shot or None,
            }
        )
    pack.add_json("cases.json", told)


def _add_kept(pack: _Pack, name: str, kept: Mapping[str, Any], deed: str) -> str:
    """Put a file of the storage into the pack; what is to be said of it beside the digest that it had."""
    try:
        with default_storage.open(kept["key"], "rb") as stored:
            stored.seek(0)  # some storages look for the file only now
            pack.add_file(name, stored)
    except FileNotFoundError:
        return "missing from the storage"
    return f"as {deed}" if pack.sums[name] == kept["sha256"] else f"changed since it was {deed}"
