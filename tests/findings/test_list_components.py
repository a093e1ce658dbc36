"""What a build is made of, from its lock or requirements file."""

import io
import json
import tarfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from checks.errors import CheckError
from checks.tools import package_lists, sbom

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


def contents(build: Path, **more: Any) -> package_lists.Contents:
    return package_lists.contents_of(build, build.name, **more)


def purls(build: Path) -> list[str]:
    return [one.purl for one in contents(build).components]


def tar_of(path: Path, files: dict[str, str]) -> Path:
    whole = io.BytesIO()
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
    return kept(path, whole.getvalue())


def kept(path: Path, data: str | bytes) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


PINNED = ["pkg:pypi/django@5.0.2", "pkg:pypi/sqlparse@0.5.1", "pkg:pypi/zope-interface@6.1"]


def test_pins_of_a_requirements_file(tmp_path: Path) -> None:
    build = kept(tmp_path / "lock.txt", LOCK)
    assert purls(build) == PINNED
    listed = {one.name: one for one in contents(build).components}
    assert (len(listed["django"].hashes), listed["sqlparse"].hashes) == (2, (("SHA-256", "cccc"),))


def test_locks_of_other_tools(tmp_path: Path) -> None:
    toml = '[[{}]]\nname = "Zope.Interface"\nversion = "6.1"\n[[{}]]\nname = "here"\n{} = {{path = "."}}\n'
    for name, key in (("uv.lock", "package"), ("poetry.lock", "package"), ("pylock.toml", "packages")):
        whole = f"{toml.format(key, key, 'directory')}[metadata]\n"
        assert purls(kept(tmp_path / name, whole)) == ["pkg:pypi/zope-interface@6.1"]
    npm = {"packages": {"": {"version": "1"}, "node_modules/@babel/core": {"version": "7.1.0"},
                        "node_modules/a/node_modules/b": {"version": "2.0.0"},
                        "node_modules/c": {"link": True}}}  # fmt: skip
    assert purls(kept(tmp_path / "package-lock.json", json.dumps(npm))) == [
        "pkg:npm/%40babel/core@7.1.0", "pkg:npm/b@2.0.0",
    ]  # fmt: skip


def test_every_list_of_an_archive_is_read(tmp_path: Path) -> None:
    build = tar_of(tmp_path / "build.tar.gz", {"app/deep/er/requirements.txt": "a==1", "app/requirements.txt": "b==2"})
    assert purls(build) == ["pkg:pypi/a@1", "pkg:pypi/b@2"]
    with zipfile.ZipFile(tmp_path / "build.zip", "w") as packed:
        packed.writestr("requirements.txt", "a==1")
        packed.writestr("sub/uv.lock", '[[package]]\nname = "b"\nversion = "2"')
        packed.writestr("web/package-lock.json", json.dumps({"packages": {"node_modules/c": {"version": "3"}}}))
        packed.writestr("web/node_modules/d/package-lock.json", "not read")
    told = contents(tmp_path / "build.zip")
    assert told.lists == ("sub/uv.lock", "requirements.txt", "web/package-lock.json")
    assert [one.purl for one in told.components] == ["pkg:npm/c@3", "pkg:pypi/a@1", "pkg:pypi/b@2"]
    told = contents(tmp_path / "build.zip", exclude=["web/*"])
    assert (told.lists, told.left_out) == (("sub/uv.lock", "requirements.txt"), ("web/package-lock.json",))


def test_requirements_by_any_of_their_names_are_read_once_each(tmp_path: Path) -> None:
    files = {
        "requirements.txt": "-r requirements/base.txt\na==1\n", "requirements-prod.txt": "b==2\n",
        "dev-requirements.txt": "c==3\n", "app/requirements_ci.txt": "d==4\n", "requirements/base.txt": "e==5\n",
        "requirements/tools/web.txt": "f==6\ng>1\n", "requirements/constraints.txt": "h==8\n",
        "requirements-constraints.txt": "i==9\n", "notes/requirement.txt": "Not a list.", "requirements/base.in": "j",
        "node_modules/x/requirements-dev.txt": "k==1\n",
    }  # fmt: skip
    told = contents(tar_of(tmp_path / "build.tar.gz", files))
    assert [one.purl.removeprefix("pkg:pypi/") for one in told.components] == ["a@1", "b@2", "c@3", "d@4", "e@5", "f@6"]
    assert told.lists == (
        "requirements.txt", "dev-requirements.txt", "requirements-prod.txt", "app/requirements_ci.txt",
        "requirements/tools/web.txt",
    )  # fmt: skip
    assert told.unknown == ("requirements/tools/web.txt: g>1",)
    told = contents(tar_of(tmp_path / "build.tar.gz", files), exclude=["requirements/tools/*"])
    assert (told.unknown, told.left_out) == ((), ("requirements/tools/web.txt",))


def test_a_list_with_a_line_that_cannot_be_read_is_named_with_what_to_do(tmp_path: Path) -> None:
    for name, text in {
        "requirements/prod.txt": "b==2\nc = 3\n", "requirements/only.txt": "-r prod.in\nc = 3\n",
        "requirements/git.txt": "git+https://host.example/b.git@1234567\nc = 3\n",
        "requirements-prod.txt": "c = 3\n",
    }.items():  # fmt: skip
        with pytest.raises(CheckError, match=f"{name} of the build cannot be read") as told:
            contents(tar_of(tmp_path / "build.tar.gz", {"requirements.txt": "a==1\n", name: text}))
        assert "source.exclude" in told.value.remedy


def test_a_text_in_a_folder_requirements_that_is_no_list_is_told_and_stops_nothing(tmp_path: Path) -> None:
    licence = "© Shop\nPreamble\n\nEverybody may do anything.\nhttps://host.example/licence\n"
    papers = {
        "docs/requirements/goals.txt": "The shop sells.\n- It doesn't buy.\nhttps://host.example/goals\n",
        "requirements/README.txt": "Requirements\n============\nMade by hand.\n", "requirements/LICENSE.txt": licence,
    }  # fmt: skip
    never = {
        "shop/templates/requirements/email_subject.txt": "Welcome\n",
        "requirements/templates/requirements/email_body.txt": "Welcome\n",
        "requirements/static/shop/deep/words.txt": "welcome\n",
        "venv/lib/python3.12/site-packages/shop/requirements/base.txt": "welcome\n",
        "venv/lib/python3.12/site-packages/shop/requirements-test.txt": "pytest\n",
    }
    lists = {"requirements.txt": "a==1\n", "requirements/empty.txt": "# nothing yet\n"}
    told = contents(tar_of(tmp_path / "build.tar.gz", lists | papers | never))
    assert (told.lists, told.unknown) == (("requirements.txt", "requirements/empty.txt"), ())
    assert sorted(told.no_lists) == sorted(papers)
    # What another list includes is one, whatever it is called.
    with pytest.raises(CheckError, match="cannot be read"):
        contents(tar_of(tmp_path / "build.tar.gz", papers | {"requirements.txt": "-r requirements/LICENSE.txt\n"}))


def test_constraints_give_versions_to_what_is_named_without_one_and_install_nothing(tmp_path: Path) -> None:
    files = {
        "requirements.txt": "-c pins/all.txt\n--constraint=../gone.txt\nDjango>=5\nsix\nold\nrange\nshop @ file:///s\n",
        "pins/all.txt": "django==5.0.2\nsix==1.16.0  # here\nold==1 ; python_version < '3'\nrange<4\nnobody==7\n"
        "shop==1\n",
    }
    told = contents(tar_of(tmp_path / "build.tar.gz", files))
    assert [one.purl for one in told.components] == ["pkg:pypi/django@5.0.2", "pkg:pypi/six@1.16.0"]
    assert told.unknown == (
        "requirements.txt: old", "requirements.txt: range", "requirements.txt: shop @ file:///s",
    )  # fmt: skip


def test_a_list_that_several_include_is_read_with_the_constraints_of_each(tmp_path: Path) -> None:
    shared = {"requirements/base.txt": "-r more.in\n", "requirements/more.in": "-r again.txt\n",
              "requirements/again.txt": "django\n", "requirements/constraints.txt": "django==5.0.2\n"}  # fmt: skip
    prod = {"requirements/prod.txt": "-c constraints.txt\n-r base.txt\n"}
    told = contents(tar_of(tmp_path / "build.tar.gz", shared | prod))
    assert ([one.purl for one in told.components], told.unknown) == (["pkg:pypi/django@5.0.2"], ())
    assert told.lists == ("requirements/prod.txt",)
    # Whoever installs by the one without constraints gets any version, whichever is read first.
    for name in ("requirements/dev.txt", "requirements/test.txt"):
        told = contents(tar_of(tmp_path / "build.tar.gz", shared | prod | {name: "-r base.txt\n"}))
        assert [one.purl for one in told.components] == ["pkg:pypi/django@5.0.2"]
        assert told.unknown == ("requirements/again.txt: django",)
    # Two that include each other are read once.
    around = {"requirements/a.txt": "-r b.txt\nsix==1.16.0\n", "requirements/b.txt": "-r a.txt\n"}
    told = contents(tar_of(tmp_path / "build.tar.gz", around))
    assert (told.lists, told.unknown) == (("requirements/a.txt",), ())


def test_a_line_without_one_exact_version_is_named(tmp_path: Path) -> None:
    lines = ["requests>=2", "pillow", "a==1.*", "b @ https://me:pw@host.example/b.whl", "-e .", "--editable=git+ssh://x/y",
             "git+https://token@host.example/c.git#egg=c", "./wheels/d-1.0.whl"]  # fmt: skip
    build = kept(tmp_path / "lock.txt", "\n".join(["six==1.16.0", "--index-url https://pypi.example", *lines]))
    told = contents(build)
    assert [one.name for one in told.components] == ["six"]
    assert [each.removeprefix("lock.txt: ") for each in told.unknown] == [
        *lines[:3], "b @ https://***@host.example/b.whl", *lines[4:6],
        "git+https://***@host.example/c.git#egg=c", lines[7],
    ]  # fmt: skip


def test_an_include_is_followed_inside_of_the_build_and_named_where_it_is_not_there(tmp_path: Path) -> None:
    files = {
        "app/requirements.txt": "-r requirements/base.txt\n--pre --requirement=../gone.txt\n-r../../../etc/passwd\n"
        "-r https://host.example/more.txt\n",
        "app/requirements/base.txt": "-r more.txt\n-rbase.txt\na==1\n",
        "app/requirements/more.txt": "b==2\nc>1",
    }
    told = contents(tar_of(tmp_path / "build.tar.gz", files))
    assert [one.purl for one in told.components] == ["pkg:pypi/a@1", "pkg:pypi/b@2"]
    assert told.lists == ("app/requirements.txt",)
    assert sorted(told.unknown) == [
        "app/requirements.txt: --pre --requirement=../gone.txt (not in the build)",
        "app/requirements.txt: -r https://host.example/more.txt (not in the build)",
        "app/requirements.txt: -r../../../etc/passwd (not in the build)",
        "app/requirements/more.txt: c>1",
    ]
    # Beside a list that is the build itself there is nothing.
    kept(tmp_path / "other.txt", "d==1")
    told = contents(kept(tmp_path / "lock.txt", "a==1\n-r other.txt"))
    assert told.unknown == ("lock.txt: -r other.txt (not in the build)",)


def test_a_lock_says_which_package_has_no_version(tmp_path: Path) -> None:
    text = (
        '[[packages]]\nname = "a"\nversion = "1"\n[[packages]]\nname = "b"\n'
        '[[packages]]\nname = "app"\ndirectory = {path = "."}'
    )
    assert contents(kept(tmp_path / "pylock.toml", text)).unknown == ("pylock.toml: b",)
    npm = {"packages": {"node_modules/a": {"version": "1"}, "node_modules/b": {}, "node_modules/c": {"link": True}}}
    assert contents(kept(tmp_path / "package-lock.json", json.dumps(npm))).unknown == ("package-lock.json: b",)


PROJECT = '[project]\nname = "shop"\ndependencies = ["Django>=5", "shop[pay]"]\n'
DECLARED = {
    "pyproject.toml": (PROJECT, "django"),
    "extras/pyproject.toml": ('[project.optional-dependencies]\npay = ["stripe"]\n', "stripe"),
    "groups/pyproject.toml": ('[dependency-groups]\ndev = ["pytest", {include-group = "x"}]\n', "pytest"),
    "poetry/pyproject.toml": ('[tool.poetry.dependencies]\npython = "^3.11"\nflask = "^3"\n', "flask"),
    "setup.cfg": ("[options]\ninstall_requires =\n    idna>=3  # why\n", "idna"),
    "setup.py": ("from setuptools import setup\nsetup(install_requires=['attrs'])\n", "attrs"),
    "text/setup.py": ("setup(install_requires='attrs>=20')\n", "attrs"),
    "extra/setup.py": ("setup(extras_require={'pay': 'stripe'})\n", "stripe"),
    "dynamic/setup.py": ("setup(install_requires=read('needed'))\n", "install_requires"),
    "Pipfile": ('[packages]\nrequests = "*"\n', "requests"),
    "shop-1.0.dist-info/METADATA": ("Name: shop\nVersion: 1.0\nRequires-Dist: celery>=5\n\nText\n", "celery"),
    "web/package.json": ('{"dependencies": {"lodash": "^4"}, "devDependencies": {"a": "file:../a"}}', "lodash"),
}


@pytest.mark.parametrize("name", DECLARED)
def test_what_is_declared_without_a_lock_does_not_vanish_beside_another_list(tmp_path: Path, name: str) -> None:
    text, needed = DECLARED[name]
    told = contents(tar_of(tmp_path / "build.tar.gz", {name: text, "elsewhere/requirements.txt": "a==1\n"}))
    assert told.unknown == (f"{name}: {needed}",)
    told = contents(tar_of(tmp_path / "build.tar.gz", {name: text, "elsewhere/requirements.txt": "a==1\n"}),
                    exclude=[name])  # fmt: skip
    assert (told.unknown, told.left_out) == ((), (name,))


def test_what_a_lock_or_pinned_list_beside_it_names_is_known(tmp_path: Path) -> None:
    poetry = '[tool.poetry.dependencies]\nflask = "^3"\nown = {path = "../own"}\n'
    files = {
        "pyproject.toml": f'{PROJECT}[dependency-groups]\ndev = ["pytest"]\n',
        "requirements/base.txt": "django==5.0.2\n",
        "api/pyproject.toml": poetry, "api/poetry.lock": '[[package]]\nname = "Flask"\nversion = "3.0"\n[metadata]\n',
        "part/setup.py": "setup(name='part', install_requires=['django', 'shop'])",
        "requirements.txt": "django==5.0.2\n",
        "web/package.json": json.dumps({
            "dependencies": {"lodash": "^4", "old": "npm:left-pad@1"}, "devDependencies": {"b": "1"},
        }),
        "web/part/package.json": '{"dependencies": {"lodash": "^4"}}',
        "web/package-lock.json": json.dumps({"packages": {
            "node_modules/lodash": {"version": "4.17.21"}, "node_modules/left-pad": {"version": "1.3.0"},
            "node_modules/b": {"version": "1.0.0"},
        }}),
    }  # fmt: skip
    assert contents(tar_of(tmp_path / "build.tar.gz", files)).unknown == ()
    only_tools = {"pyproject.toml": '[dependency-groups]\ndev = ["pytest"]\n', "requirements.txt": "django==5.0.2\n"}
    assert contents(tar_of(tmp_path / "build.tar.gz", only_tools)).unknown == ()
    stale = {
        **files,
        "web/package-lock.json": json.dumps({"packages": {"node_modules/lodash": {"version": "4.17.21"}}}),
    }
    assert contents(tar_of(tmp_path / "build.tar.gz", stale)).unknown == (
        "web/package.json: b", "web/package.json: left-pad",
    )  # fmt: skip
    stale = {**files, "api/pyproject.toml": f'{poetry}pillow = "*"\n'}
    assert contents(tar_of(tmp_path / "build.tar.gz", stale)).unknown == ("api/pyproject.toml: pillow",)


def test_what_declares_nothing_is_none_of_it(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": '[tool.ruff]\nline-length = 120\n[build-system]\nrequires = ["hatchling"]\n',
        "web/package.json": '{"name": "web", "scripts": {"build": "true"}}',
        "setup.py": "from setuptools import setup\n",
        "setup.cfg": "[flake8]\nmax-line-length = 120\n", "node_modules/a/package.json": '{"dependencies": {"b": "1"}}',
        "lib/site-packages/x/pyproject.toml": PROJECT, "elsewhere/requirements.txt": "a==1\n",
    }  # fmt: skip
    assert contents(tar_of(tmp_path / "build.tar.gz", files)).unknown == ()
    broken = {"package.json": "{", "elsewhere/requirements.txt": "a==1\n"}
    assert contents(tar_of(tmp_path / "broken.tar.gz", broken)).unknown == ("package.json (cannot be read)",)


def test_a_list_that_is_a_link_is_read_where_it_leads(tmp_path: Path) -> None:
    for target, told in (("pins/all.txt", ""), ("nowhere.txt", "leads to nothing")):
        with tarfile.open(tmp_path / "build.tar", "w") as archive:
            info = tarfile.TarInfo("pins/all.txt")
            info.size = 4
            archive.addfile(info, io.BytesIO(b"a==1"))
            link = tarfile.TarInfo("requirements.txt")
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
        if not told:
            assert purls(tmp_path / "build.tar") == ["pkg:pypi/a@1"]
            continue
        with pytest.raises(CheckError, match=told):
            contents(tmp_path / "build.tar")


def test_an_archive_with_too_many_files_is_not_read_in_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package_lists, "MAX_MEMBERS", 2)
    files = {"requirements.txt": "a==1", "b.txt": "", "c/requirements.txt": "d==1"}
    with pytest.raises(CheckError, match="more than 2 files"):
        contents(tar_of(tmp_path / "build.tar.gz", files))


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.txt", b"requests>=2\n", "no exact version"),
        ("a.txt", b"not a requirement at all!\n", "cannot be read"),
        ("a.txt", b"\xff\xfe", "cannot be read"),
        ("uv.lock", b"[[", "cannot be read"),
        ("package-lock.json", b'{"packages": []}', "cannot be read"),
        ("package-lock.json", b'{"lockfileVersion": 1, "dependencies": {}}', "locks before npm 7"),
        ("a.txt", b"-r gone.txt", "no exact version. It names a.txt: -r gone.txt"),
        ("a.tar.gz", b"x", "cannot be opened"),
        ("a.whl", b"x", "cannot be opened"),
        ("a.deb", b"x", "holds no list"),
    ],
)
def test_a_build_without_a_list_is_told_apart_from_one_without_packages(
    tmp_path: Path, name: str, data: bytes, why: str
) -> None:
    with pytest.raises(CheckError, match=why):
        contents(kept(tmp_path / name, data))


def test_cyclonedx_names_the_build_and_each_component_once(tmp_path: Path) -> None:
    told = contents(kept(tmp_path / "lock.txt", LOCK))
    facts = {"application": "shop", "version": "1.0", "build_name": "lock.txt", "build_digest": "a" * 64,
             "at": datetime(2026, 11, 24, tzinfo=UTC)}  # fmt: skip
    document = json.loads(sbom.cyclonedx(told, **facts))
    assert (document["bomFormat"], document["specVersion"], document["version"]) == ("CycloneDX", "1.6", 1)
    assert document["metadata"]["component"]["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
    references = [one["bom-ref"] for one in document["components"]]
    assert references == PINNED == document["dependencies"][0]["dependsOn"]
    assert [len(one.get("hashes", [])) for one in document["components"]] == [0, 1, 0]
    assert document["compositions"][0]["aggregate"] == "incomplete"
    assert [one["value"] for one in document["metadata"]["component"]["properties"]][2:] == list(told.unknown)
    again = json.loads(sbom.cyclonedx(told, **facts))
    assert document == again
