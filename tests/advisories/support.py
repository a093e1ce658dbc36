"""Entries and archives of advisories for tests."""

import io
import json
import tarfile
import zipfile
from typing import Any

from checks.advisories import import_advisories
from checks.models import AdvisorySnapshot


def entry(osv_id: str, name: str = "django", **more: Any) -> dict[str, Any]:
    """An OSV entry; ``events`` and ``versions`` of its one affected package."""
    affected: dict[str, Any] = {"package": {"name": name, "ecosystem": more.pop("ecosystem", "PyPI")}}
    if "events" in more:
        affected["ranges"] = [{"type": more.pop("range_type", "ECOSYSTEM"), "events": more.pop("events")}]
    if "versions" in more:
        affected["versions"] = more.pop("versions")
    return {"id": osv_id, "modified": "2024-10-10T00:00:00Z", "details": "Bad.", "affected": [affected], **more}


BOUNDS = [{"introduced": "0"}, {"fixed": "5.0.3"}]
DJANGO = entry("PYSEC-2024-1", "Django", events=BOUNDS, aliases=["CVE-2024-1", "GHSA-aaaa"])


def tar(files: dict[str, bytes | dict[str, Any]], *, mode: str = "w:gz") -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            data = content if isinstance(content, bytes) else json.dumps(content).encode()
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    out.seek(0)
    return out


def zipped(files: dict[str, bytes | dict[str, Any]]) -> io.BytesIO:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    out.seek(0)
    return out


def imported(*entries: dict[str, Any], **more: Any) -> AdvisorySnapshot:
    files: dict[str, bytes | dict[str, Any]] = {f"vulns/{one['id']}.json": one for one in entries}
    return import_advisories(source=tar(files), name="advisories.tar.gz", actor=None, **more)
