"""What a build is made of, from its lock or requirements file."""

import io
import json
import tarfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from checks.errors import CheckError
from checks.tools import sbom

LOCK = """
# pins
Django==5.0.2 \\
    --hash=sha256:aaaa \\
    --hash=sha256:bbbb
sqlparse==0.5.1 ; python_version >= "3.8" --hash=sha256:cccc  # why
-r other.txt
requests>=2
zope.interface[test]===6.1
"""


def purls(build: Path) -> list[str]:
    return [one.purl for one in sbom.components_of(build, build.name)[1]]


def kept(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


PINNED = ["pkg:pypi/django@5.0.2", "pkg:pypi/sqlparse@0.5.1", "pkg:pypi/zope-interface@6.1"]


def test_pins_of_a_requirements_file(tmp_path: Path) -> None:
    build = kept(tmp_path / "lock.txt", LOCK)
    assert purls(build) == PINNED
    listed = {one.name: one for one in sbom.components_of(build, build.name)[1]}
    assert (len(listed["django"].hashes), listed["sqlparse"].hashes) == (2, (("SHA-256", "cccc"),))


def test_locks_of_other_tools(tmp_path: Path) -> None:
    toml = '[[{}]]\nname = "Zope.Interface"\nversion = "6.1"\n[[{}]]\nname = "here"\n'
    for name, key in (("uv.lock", "package"), ("poetry.lock", "package"), ("pylock.toml", "packages")):
        assert purls(kept(tmp_path / name, toml.format(key, key))) == ["pkg:pypi/zope-interface@6.1"]
    npm = {"packages": {"": {"version": "1"}, "node_modules/@babel/core": {"version": "7.1.0"},
                        "node_modules/a/node_modules/b": {"version": "2.0.0"},
                        "node_modules/c": {"link": True}}}  # fmt: skip
    assert purls(kept(tmp_path / "package-lock.json", json.dumps(npm))) == [
        "pkg:npm/%40babel/core@7.1.0", "pkg:npm/b@2.0.0",
    ]  # fmt: skip


def test_the_best_list_of_an_archive_speaks(tmp_path: Path) -> None:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        for name, data in (
            ("app/deep/er/requirements.txt", b"a==1"),
            ("app/requirements.txt", LOCK.encode()),
            ("app/x.py", b""),
        ):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    assert purls(kept(tmp_path / "build.tar.gz", whole.getvalue())) == PINNED
    with zipfile.ZipFile(tmp_path / "build.zip", "w") as packed:
        packed.writestr("requirements.txt", "a==1")
        packed.writestr("sub/uv.lock", '[[package]]\nname = "b"\nversion = "2"')
    assert sbom.components_of(tmp_path / "build.zip", "build.zip")[0] == "sub/uv.lock"


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.txt", b"requests>=2\n", "no exact version"),
        ("a.txt", b"not a requirement at all!\n", "cannot be read"),
        ("a.txt", b"\xff\xfe", "cannot be read"),
        ("uv.lock", b"[[", "cannot be read"),
        ("package-lock.json", b'{"packages": []}', "no exact version|cannot be read"),
        ("a.tar.gz", b"x", "cannot be opened"),
        ("a.whl", b"x", "cannot be opened"),
        ("a.deb", b"x", "holds no list"),
    ],
)
def test_a_build_without_a_list_is_told_apart_from_one_without_packages(
    tmp_path: Path, name: str, data: bytes, why: str
) -> None:
    with pytest.raises(CheckError, match=why):
        sbom.components_of(kept(tmp_path / name, data), name)


def test_cyclonedx_names_the_build_and_each_component_once(tmp_path: Path) -> None:
    listing, components = sbom.components_of(kept(tmp_path / "lock.txt", LOCK), "lock.txt")
    facts = {"application": "shop", "version": "1.0", "build_name": "lock.txt", "build_digest": "a" * 64,
             "listing": listing, "at": datetime(2026, 11, 24, tzinfo=UTC)}  # fmt: skip
    document = json.loads(sbom.cyclonedx(components, **facts))
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    assert document["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    references = [one["bom-ref"] for one in document["components"]]
    assert references == PINNED == document["dependencies"][0]["dependsOn"]
    assert [len(one.get("hashes", [])) for one in document["components"]] == [0, 1, 0]
    again = json.loads(sbom.cyclonedx(components, **facts))
    assert document == again
