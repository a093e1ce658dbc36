"""Advisories come in whole or not at all, from archives that nobody has looked at before."""

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from checks.advisories import ages, import_advisories, reading, vulnerabilities
from checks.advisories.errors import AdvisoriesRefused
from checks.models import Advisory, AdvisoryPackage, AdvisorySnapshot
from releases.models import LedgerEntry
from tests.advisories.support import DJANGO, entry, imported, tar, zipped

pytestmark = pytest.mark.django_db

YAML = b"""
id: PYSEC-2024-2
modified: 2024-10-11T15:15:00Z
affected:
- package: {ecosystem: PyPI, name: flask}
  ranges:
  - type: ECOSYSTEM
    events:
    - introduced: 5.10
    - fixed: 5.20
"""


def take(source: Any, name: str = "a.tar.gz", **more: Any) -> AdvisorySnapshot:
    return import_advisories(source=source, name=name, actor=None, **more)


def test_json_and_yaml_from_a_folder_and_each_archive(tmp_path: Path) -> None:
    files: dict[str, Any] = {"x/a.json": DJANGO, "x/b.yaml": YAML, "x/LICENSE": b"text", "x/.id-allocator": b"{",
                             "x/c.json": entry("PYSEC-3", withdrawn="2022-02-22T16:15:07Z")}  # fmt: skip
    for name, data in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    (tmp_path / "x/link.json").symlink_to("/etc/hostname")
    sources = [(tmp_path, "x"), (tar(files), "a.tar.gz"), (tar(files, mode="w"), "a.tar"), (zipped(files), "a.ZIP")]
    for source, name in sources:
        snapshot = take(source, name)
        assert (snapshot.advisories, snapshot.withdrawn, snapshot.ecosystems) == (2, 1, {"PyPI": 2}), name
        assert (Advisory.objects.count(), AdvisoryPackage.objects.count()) == (2, 2)
        assert vulnerabilities(ecosystem="PyPI", name="Flask", version="5.15")  # 5.10 stayed a text
        assert not vulnerabilities(ecosystem="PyPI", name="flask", version="5.9")
    assert AdvisorySnapshot.objects.count() == len(sources)
    assert LedgerEntry.objects.filter(action="advisories.imported").count() == len(sources)
    assert ages()[0].old


def test_what_is_fresh_of_one_ecosystem_does_not_make_another_look_fresh() -> None:
    package = {"package": {"ecosystem": "npm", "name": "lodash"}, "versions": ["4.17.4"]}
    fresh = {**entry("GHSA-9"), "modified": timezone.now().isoformat(), "affected": [package]}
    snapshot = take(tar({"a.json": DJANGO, "b.json": fresh}))
    assert snapshot.ecosystems == {"PyPI": 1, "npm": 1}
    assert all(age.old for age in ages())


def _bomb() -> io.BytesIO:
    return tar({"a.json": DJANGO, "b.json": b" " * (reading.MAX_FILE_BYTES + 1)})


def _linked() -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for kind, target in (
            (tarfile.SYMTYPE, "/etc/passwd"),
            (tarfile.LNKTYPE, "../../etc/passwd"),
            (tarfile.CHRTYPE, ""),
        ):
            info = tarfile.TarInfo("vulns/a.json")
            info.type, info.linkname = kind, target
            archive.addfile(info)
    out.seek(0)
    return out


def _long_header() -> io.BytesIO:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("vulns/a.json")
        info.pax_headers = {"comment": "x" * (reading.MAX_HEADER_BYTES + 1)}
        archive.addfile(info)
    out.seek(0)
    return out


LAUGHS = b"id: A\nmodified: 2024-10-11T15:15:00Z\naffected: []\na: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"


@pytest.mark.parametrize(
    ("source", "name", "why"),
    [
        (lambda: io.BytesIO(b"no archive"), "a.tar.gz", "damaged"),
        (lambda: io.BytesIO(b"no archive"), "a.zip", "damaged"),
        (lambda: io.BytesIO(tar({"a.json": DJANGO}).read()[:-40]), "a.tar.gz", "damaged"),
        (lambda: io.BytesIO(b"x"), "a.rar", "none of"),
        (lambda: tar({}), "a.tar.gz", "no advisory"),
        (lambda: tar({"readme.txt": b"x"}), "a.tar.gz", "no advisory"),
        (_linked, "a.tar.gz", "no advisory"),
        (_long_header, "a.tar.gz", "headers is far too long"),
        (_bomb, "a.tar.gz", "larger than 8 MB"),
        (lambda: zipped({"a.json": b" " * (reading.MAX_FILE_BYTES + 1)}), "a.zip", "larger than 8 MB"),
        (lambda: tar({"a.json": DJANGO, "b.json": b"{"}), "a.tar.gz", "b.json: it is not valid JSON"),
        (lambda: tar({"b.json": b"[" * 200_000}), "a.tar.gz", "not valid JSON"),
        (lambda: tar({"b.json": b"[" * 900 + b"]" * 900}), "a.tar.gz", "not valid JSON|no id"),
        (lambda: tar({"b.yaml": b"[" * 200_000}), "a.tar.gz", "nested deeper"),
        (lambda: tar({"b.yml": b"- " * 5_000 + b"a"}), "a.tar.gz", "nested deeper"),
        (lambda: tar({"b.yaml": LAUGHS}), "a.tar.gz", "part of itself"),
        (lambda: tar({"b.yaml": b"- a\n- b\n"}), "a.tar.gz", "no id"),
        (lambda: tar({"b.json": {"id": "A", "affected": []}}), "a.tar.gz", "when it was changed"),
        (lambda: tar({"b.json": {**DJANGO, "schema_version": "2.0"}}), "a.tar.gz", "version 2.0"),
        (lambda: tar({"b.json": {**DJANGO, "affected": [{"package": {"ecosystem": "PyPI"}}]}}), "a.tar.gz", "no name"),
        (lambda: tar({"b.json": entry("A", events="x")}), "a.tar.gz", "no events"),
        (lambda: tar({"a.json": DJANGO, "b.json": DJANGO}), "a.tar.gz", "twice"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_leaves_all_as_it_was(source: Any, name: str, why: str) -> None:
    imported(DJANGO)
    with pytest.raises(AdvisoriesRefused, match=why):
        take(source(), name)
    assert (AdvisorySnapshot.objects.count(), Advisory.objects.count()) == (1, 1)


def test_all_together_have_a_limit_whatever_their_headers_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MAX_TOTAL_BYTES", 200_000)
    padded = {f"{n}.txt": b"x" * 60_000 for n in range(5)}
    for source, name in ((tar({**padded, "a.json": DJANGO}), "a.tar.gz"), (tar(padded, mode="w"), "a.tar")):
        with pytest.raises(AdvisoriesRefused, match="unpacks to more"):
            take(source, name)
    with pytest.raises(AdvisoriesRefused, match="unpacks to more"):
        take(zipped({f"{n}.json": {**entry(f"A-{n}"), "details": "x" * 60_000} for n in range(5)}), "a.zip")
    monkeypatch.setattr(reading, "MAX_MEMBERS", 2)
    for source, name in (
        (tar({f"{n}.txt": b"" for n in range(3)}), "a.tar.gz"),
        (zipped({f"{n}": b"" for n in range(3)}), "a.zip"),
    ):
        with pytest.raises(AdvisoriesRefused, match="more than 2 files"):
            take(source, name)


def test_unreadable_files_are_left_out_only_when_somebody_says_so_and_are_named() -> None:
    snapshot = take(tar({"a.json": DJANGO, "b.json": b"{"}), skip_unreadable=True)
    assert snapshot.unreadable[0].startswith("b.json")


def test_less_or_older_data_is_refused_until_it_is_meant() -> None:
    imported(*(entry(f"A-{n}") for n in range(4)))
    with pytest.raises(AdvisoriesRefused, match="cut off"):
        imported(entry("A-1"))
    old = [entry(f"A-{n}", modified="2023-01-01T00:00:00Z") for n in range(4)]
    with pytest.raises(AdvisoriesRefused, match="older than what is there"):
        imported(*old)
    assert Advisory.objects.count() == 4
    imported(entry("A-1", modified="2023-01-01T00:00:00Z"), may_shrink=True)
    assert Advisory.objects.count() == 1


def test_another_ecosystem_stays() -> None:
    imported(DJANGO)
    imported(entry("GHSA-1", "left-pad", ecosystem="npm", events=[{"introduced": "0"}, {"fixed": "1.3.0"}]))
    assert [age.ecosystem for age in ages()] == ["PyPI", "npm"]
    assert vulnerabilities(ecosystem="npm", name="left-pad", version="1.2.9")
    assert vulnerabilities(ecosystem="PyPI", name="django", version="4.0")


def test_the_command_says_what_it_did_and_what_it_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.tar.gz").write_bytes(tar({"a.json": DJANGO}).read())
    call_command("import_advisories", tmp_path / "a.tar.gz")
    assert "1 advisories (1 for PyPI)" in capsys.readouterr().out
    with pytest.raises(CommandError, match="cannot be read"):
        call_command("import_advisories", tmp_path / "gone.zip")
