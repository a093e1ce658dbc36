"""Source code and secrets in it, by bandit and detect-secrets as they are: planted flaws are found, twins are not."""

import io
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from checks.errors import CheckError
from checks.findings.fingerprints import fingerprint
from checks.tools.auditing import code, secret_search
from checks.tools.auditing.code import CodeLook, CodeSection
from checks.tools.auditing.looking import Look, NotSeen
from checks.tools.auditing.said import FilePlace, Severity, ToolReport, ToolStatus
from checks.tools.auditing.secret_search import SecretsLook, SecretsSection
from checks.tools.auditing.source import SourceSection, unpacked
from tests.kinds_audit.support import Desk, looked, rules

#: File -> its text; every file of the first has one flaw that bandit names so, every one of the second has none.
FLAWS = {
    "shell.py": ("B602", "import subprocess\ndef f(x):\n    subprocess.call(x, shell=True)\n"),
    "sql.py": ("B608", "def f(c, x):\n    c.execute(\"SELECT * FROM t WHERE n = '%s'\" % x)\n"),
    "load.py": ("B506", "import yaml\ndef f(x):\n    return yaml.load(x, Loader=yaml.Loader)\n"),
    "pickled.py": ("B301", "import pickle\ndef f(x):\n    return pickle.loads(x)\n"),
    "weak.py": ("B324", "import hashlib\ndef f(x):\n    return hashlib.md5(x).hexdigest()\n"),
    "tls.py": ("B501", "import requests\ndef f(x):\n    return requests.get(x, verify=False, timeout=3)\n"),
    "run.py": ("B307", "def f(x):\n    return eval(x)\n"),
    "marked.py": ("B308", "from django.utils.safestring import mark_safe\ndef f(x):\n    return mark_safe(x)\n"),
}
TWINS = {
    "shell.py": "import subprocess\ndef f(x):\n    subprocess.run(['ls', '--', x], check=True)\n",
    "sql.py": "def f(c, x):\n    c.execute('SELECT * FROM t WHERE n = %s', [x])\n",
    "load.py": "import yaml\ndef f(x):\n    return yaml.safe_load(x)\n",
    "pickled.py": "import json\ndef f(x):\n    return json.loads(x)\n",
    "weak.py": "import hashlib\ndef f(x):\n    return hashlib.md5(x, usedforsecurity=False).hexdigest()\n",
    "tls.py": "import requests\ndef f(x):\n    return requests.get(x, timeout=3)\n",
    "run.py": "import ast\ndef f(x):\n    return ast.literal_eval(x)\n",
    "marked.py": "from django.utils.html import format_html\ndef f(x):\n    return format_html('<b>{}</b>', x)\n",
}
SECRETS = {
    "aws.env": ("AWS Access Key", "AWS_ACCESS_KEY_ID=AKIA" + "Q3EGRTYUIOPASDFG\n"),
    "key.pem": ("Private Key", "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow==\n"),
    "ci.yaml": ("GitHub Token", "token: ghp_" + "wWPw5k4aXcaT4fNP0UcnZwJUVFk6LO0pINUx\n"),
    "url.ini": ("Basic Auth Credentials", "db = postgres://app:" + "s3cr3tw0rd9@db.example/app\n"),
    "pay.py": ("Stripe Access Key", "KEY = 'sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc'\n"),
}
NO_SECRETS = {
    "aws.env": "AWS_ACCESS_KEY_ID=${AWS_ACCESS_KEY_ID}\n",
    "key.pem": "-----BEGIN PUBLIC KEY-----\nMIIBIjANBg==\n",
    "ci.yaml": "token: ${{ secrets.GITHUB_TOKEN }}\n",
    "url.ini": "db = postgres://db.example/app\n",
    "pay.py": "import os\nKEY = os.environ['STRIPE_KEY']\n",
}


def build_of(files: dict[str, str], folder: Path, name: str = "app-1.0.tar") -> Path:
    path = folder / name
    if name.endswith(".tar"):
        with tarfile.open(path, "w") as archive:
            for member, text in files.items():
                info = tarfile.TarInfo(member)
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
    else:
        with zipfile.ZipFile(path, "w") as packed:
            for member, text in files.items():
                packed.writestr(member, text)
    return path


def look(files: dict[str, str], folder: Path, kind: str = "code", **more: Any) -> ToolReport:
    folder.mkdir(parents=True)
    source = SourceSection.model_validate(more.pop("source", {}))
    build = more.pop("build", None) or build_of(files, folder, more.pop("name", "app-1.0.tar"))
    one: Look = CodeLook(CodeSection(**more), source) if kind == "code" else SecretsLook(SecretsSection(**more), source)
    return looked(one, "http://127.0.0.1:1", folder, build_file=build)


def test_planted_flaws_are_found_and_twins_are_not(tmp_path: Path) -> None:
    report = look({name: text for name, (_, text) in FLAWS.items()}, tmp_path / "flaws")
    found = {(each.place.path, each.rule) for each in report.found if isinstance(each.place, FilePlace)}
    assert {(name, rule) for name, (rule, _) in FLAWS.items()} <= found
    assert (report.status, report.looked_at, report.version) == (ToolStatus.FINDINGS, 8, "1.9.4")
    shell = next(each for each in report.found if each.rule == "B602")
    assert (shell.severity, shell.cwe, shell.owasp, shell.asvs) == (Severity.HIGH, (78,), "A05", ("1.2.5",))
    assert shell.place == FilePlace("shell.py", "subprocess.call(x, shell=True)", 3)
    report = look(TWINS, tmp_path / "twins", name="app-1.0.zip")
    assert {each.rule for each in report.found if each.severity is not Severity.LOW} == set(), report.found


@pytest.mark.campaign
def test_what_cannot_be_read_or_is_marked_is_told(tmp_path: Path) -> None:
    report = look({"a.py": "x = 1\n", "b.py": "def broken(:\n"}, tmp_path / "broken")
    assert report.status is ToolStatus.INCOMPLETE
    assert "could not read 1 of 2 files: b.py: syntax error" in report.why
    report = look(
        {"a.py": "x = 1\n", "tests/b.py": FLAWS["run.py"][1]}, tmp_path / "left", source={"exclude": ["tests/*"]}
    )
    assert (report.status, report.looked_at) == (ToolStatus.OK, 1)
    assert report.notes == ("Left out by the plan: tests/*.",)


@pytest.mark.campaign
def test_settings_of_bandit_in_the_source_switch_nothing_off(tmp_path: Path) -> None:
    flaw, own = FLAWS["shell.py"][1], "[bandit]\nskips = B602,B404\nexclude = /\n"
    for name, files in (
        ("one", {".bandit": own}),
        ("two", {".bandit": own, "sub/.bandit": own}),
        ("toml", {"pyproject.toml": '[tool.bandit]\nskips = ["B602"]\n', "setup.cfg": "[bandit]\nskips = B602\n"}),
    ):
        report = look({"a.py": flaw, **files}, tmp_path / name)
        assert (report.status, report.why, "B602" in rules(report)) == (ToolStatus.FINDINGS, "", True), name


@pytest.mark.campaign
@pytest.mark.parametrize("mark", ["# nosec", "# nosec B307", "#nosec: B307 - we know", "# noqa  # nosec"])
def test_a_line_that_the_source_marks_as_no_flaw_is_the_same_finding_as_before(mark: str, tmp_path: Path) -> None:
    flaw = FLAWS["run.py"][1]
    first = look({"a.py": flaw.replace("eval(x)", "eval(x)  # noqa") if "noqa" in mark else flaw}, tmp_path / "one")
    report = look({"a.py": flaw.replace("eval(x)", f"eval(x)  {mark}")}, tmp_path / "two")
    assert report.status is ToolStatus.FINDINGS
    assert set(map(fingerprint, report.found)) == set(map(fingerprint, first.found))
    assert "The source marks it with nosec" in report.found[0].detail
    assert "nosec" not in first.found[0].detail
    assert report.notes == (
        "1 findings are marked with nosec in the source; that is no acceptance, so they are told all the same.",
    )


@pytest.mark.campaign
def test_a_password_in_a_marked_line_is_the_same_finding_as_before(tmp_path: Path) -> None:
    line = 'PASSWORD = "hunter2-prod"'
    first = look({"a.py": f"{line}\n"}, tmp_path / "one", confidence="low")
    report = look({"a.py": f"{line}  # nosec\n"}, tmp_path / "two", confidence="low")
    assert set(map(fingerprint, report.found)) == set(map(fingerprint, first.found))
    assert "hunter" not in repr(report)


@pytest.mark.campaign
@pytest.mark.parametrize(
    "marked",
    [
        "{line}  # pragma: allowlist secret\n",
        "# pragma: allowlist nextline secret\n{line}\n",
        "{line}  # pragma: whitelist secret\n",
    ],
)
def test_a_secret_that_the_source_marks_as_none_is_the_same_finding_as_before(marked: str, tmp_path: Path) -> None:
    line = f"key = {'AKIA' + '2E0A8F3B244C9986'!r}"
    first = look({"a.py": f"{line}\n"}, tmp_path / "one", "secrets")
    report = look({"a.py": marked.format(line=line)}, tmp_path / "two", "secrets")
    assert rules(first) == {"AWS Access Key"}
    assert set(map(fingerprint, report.found)) == set(map(fingerprint, first.found))
    assert "allowlist" in report.found[0].detail
    assert report.notes == (
        "1 findings are marked as no secrets in the source; that is no acceptance, so they are told all the same.",
    )


@pytest.mark.campaign
def test_a_password_in_the_source_is_told_and_never_shown(tmp_path: Path) -> None:
    lines = [
        'PASSWORD = "hunter2-prod"',
        "def f(user, password='hunter3-prod'): ...",
        "f('me', password=\"hunter4-\\x70rod\")",
        "token = ('hunter5-' 'prod')",
        "import requests",
        "requests.get('https://x.example', password='hunter6-prod', verify=False, timeout=3)",
        'secret = """hunter7-prod',
        'hunter7-end"""',
        'password = "hunter8-prod"; PASSWORD = "hunter8-prod"',
    ]
    text = "\n".join(lines) + "\n"
    report = look({"a.py": text}, tmp_path / "one", confidence="low")
    found = [each for each in report.found if each.rule in ("B105", "B106", "B107", "B501")]
    told = {(each.rule, each.place.line) for each in found if isinstance(each.place, FilePlace)}
    assert {("B105", 1), ("B107", 2), ("B106", 3), ("B501", 6), ("B105", 7), ("B105", 9)} <= told
    assert "hunter" not in repr(report)
    assert not (tmp_path / "one" / "bandit.json").exists()
    first = next(each for each in found if isinstance(each.place, FilePlace) and each.place.line == 1)
    assert (first.title, str(first.place).count("PASSWORD = ")) == ("Possible hardcoded password", 1)
    # The same value is the same finding in the next scan, and another value is another.
    again = look({"a.py": f"import os\n{text}"}, tmp_path / "two", confidence="low")
    assert set(map(fingerprint, report.found)) <= set(map(fingerprint, again.found))
    other = look({"a.py": 'PASSWORD = "hunter9-prod"\n'}, tmp_path / "three", confidence="low")
    assert fingerprint(other.found[0]) not in set(map(fingerprint, report.found))


@pytest.mark.campaign
def test_secrets_are_found_and_never_shown(tmp_path: Path) -> None:
    report = look({name: text for name, (_, text) in SECRETS.items()}, tmp_path / "flaws", "secrets")
    found = {(each.place.path, each.rule) for each in report.found if isinstance(each.place, FilePlace)}
    assert {(name, rule) for name, (rule, _) in SECRETS.items()} <= found
    assert all(secret not in repr(report) for secret in ("s3cr3tw0rd9", "4eC39Hq", "Q3EGRT", "wWPw5k4a"))
    assert report.looked_at == 5
    report = look(NO_SECRETS, tmp_path / "twins", "secrets")
    assert (report.status, rules(report)) == (ToolStatus.OK, set())


def test_source_that_could_not_be_unpacked_whole_is_not_looked_at_by_the_next_look(tmp_path: Path) -> None:
    desk = Desk("http://127.0.0.1:1", tmp_path)
    desk.build_file = tmp_path / "lock.txt"
    desk.build_file.write_text("django==5.2.1\n")
    for _ in range(2):
        with pytest.raises(NotSeen, match=r"lock\.txt is no archive"):
            unpacked(desk, SourceSection())  # type: ignore[arg-type]
    command = {"argv": ["sh", "-c", 'echo "x = 1" > "$GONOGO_SOURCE/a.py"; sleep 9'], "timeout": "100ms"}
    for _ in range(2):
        with pytest.raises(CheckError, match="took longer"):
            unpacked(desk, SourceSection.model_validate({"unpack": command}))  # type: ignore[arg-type]
    for _ in range(2):
        desk.build_file = build_of({"a.py": "x = 1\n"}, tmp_path)
        with pytest.raises(NotSeen, match="No file of source is left"):
            unpacked(desk, SourceSection(exclude=["*"]))  # type: ignore[arg-type]


@pytest.mark.campaign
def test_a_build_without_source_is_no_pass(tmp_path: Path) -> None:
    lock = tmp_path / "lock.txt"
    lock.write_text("django==5.2.1\n")
    report = look({}, tmp_path / "lock", build=lock)
    assert report.status is ToolStatus.INCOMPLETE
    assert "lock.txt is no archive" in report.why
    unpack = {"argv": ["sh", "-c", 'echo "x = 1" > "$GONOGO_SOURCE/a.py"'], "timeout": "9s"}
    assert look({}, tmp_path / "unpacked", build=lock, source={"unpack": unpack}).status is ToolStatus.OK
    report = look({"a.txt": "no code"}, tmp_path / "none")
    assert (report.status, "looked at no files of Python" in report.why) == (ToolStatus.INCOMPLETE, True)
    cut = build_of({"a.py": "x = 1\n" * 9000}, tmp_path, "cut.tar")
    cut.write_bytes(cut.read_bytes()[:20_000])
    assert "cannot be unpacked" in look({}, tmp_path / "cut", build=cut).why


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 0", "wrote no report"),
        ('printf \'{"results": [], "err\' > "$6"', "report is not whole"),
        (
            'printf \'{"results": [], "errors": [], "metrics": {"_totals": {"nosec": 0}}}\' > "$6"',
            "did not look at",
        ),
        ("sleep 9", "was ended after"),
    ],
)
def test_a_tool_that_breaks_is_no_pass(script: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "bandit"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o700)
    monkeypatch.setattr(code.toolbox, "program", lambda context, name: [str(broken)])
    report = look({"a.py": "x = 1\n"}, tmp_path / "app", timeout="400ms")
    assert report.status is ToolStatus.INCOMPLETE
    assert why in report.why


@pytest.mark.parametrize(
    ("said", "why"),
    [('{"version": "1", "results": {}}', "has not searched"), ('{"version"', "is not whole"), ("[]", "read")],
)
def test_a_search_that_does_not_search_is_no_pass(
    said: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "detect-secrets"
    broken.write_text(f"#!/bin/sh\necho '{said}'\n")
    broken.chmod(0o700)
    monkeypatch.setattr(secret_search.toolbox, "program", lambda context, name: [str(broken)])
    report = look({"a.py": "x = 1\n"}, tmp_path / "app", "secrets")
    assert (report.status, why in report.why) == (ToolStatus.INCOMPLETE, True), report.why


@pytest.mark.campaign
def test_a_tool_that_cannot_be_installed_is_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (tmp_path / "requirements" / "tools").mkdir(parents=True)
    (tmp_path / "requirements" / "tools" / "source.txt").write_text("bandit==0.0.0 --hash=sha256:" + "0" * 64)
    with override_settings(BASE_DIR=tmp_path, TOOLS_ROOT=tmp_path / "tools"):
        report = look({"a.py": "x = 1\n"}, tmp_path / "app")
        assert report.status is ToolStatus.INCOMPLETE
        assert "bandit could not be installed" in report.why
        assert not list((tmp_path / "tools").glob("source-*/bin"))
    with override_settings(TOOLS_ROOT=Path("/proc/nowhere")):
        assert "cannot be installed: " in look({"a.py": "x = 1\n"}, tmp_path / "other").why
