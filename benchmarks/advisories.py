"""How long importing advisories takes, and a question about each of 300 pins.

    python -m benchmarks.advisories [ARCHIVE]

Without an archive of OSV data two are made: 3,000 entries in YAML, and 20,000 in JSON, about as many as PyPI has. The
pins are asked as pip-audit asks them: one POST each, one after another, over one connection. They are asked at both
addresses: the one that a run opens for its tool, and the web server's. The pip-audit that audits use (installed by
``manage.py install_tools``) is timed at both as well; PIP_AUDIT names another.
"""

import io
import json
import logging
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.ledger import _server

IMPORT_LIMIT, PINS, PINS_LIMIT = 30.0, 300, 10.0
YAML_ENTRIES, JSON_ENTRIES = 3_000, 20_000


def main() -> int:
    with _server() as url:
        os.environ |= {"DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "config.settings"}
        import django

        django.setup()
        from django.core.management import call_command

        logging.getLogger("httpx").setLevel(logging.ERROR)
        call_command("migrate", verbosity=0)
        given = [Path(name) for name in sys.argv[1:2]]
        failed = 0
        for name, archive in [(path.name, path.open("rb")) for path in given] or _made():
            failed += _measure(name, archive)
    return 1 if failed else 0


def _measure(name: str, archive: Any) -> int:
    from checks.advisories import import_advisories, served

    began = time.perf_counter()
    snapshot = import_advisories(source=archive, name=name, actor=None, may_shrink=True)
    took = time.perf_counter() - began
    print(f"import of {snapshot.advisories:,} advisories ({name})  {took:.1f} s  limit {IMPORT_LIMIT:.0f} s")
    pins = _pins()
    late = int(took > IMPORT_LIMIT)
    for where, opened in (("of a run", served), ("of the web server", _web_server)):
        with opened() as url:
            asked, hits = _ask(url, pins)
            print(f"{PINS} pins at the address {where}, {hits} vulnerable  {asked:.2f} s  limit {PINS_LIMIT:.0f} s")
            real = _pip_audit(url, pins)
        late += int(asked > PINS_LIMIT) + int(real is not None and real > PINS_LIMIT)
    return late


@contextmanager
def _web_server() -> Iterator[str]:
    """The program's own web server over this database, as ``make up`` starts it."""
    import httpx

    from config.services.parts import web_arguments
    from config.services.ports import free_port

    port = free_port()
    environment = {**os.environ, "GONOGO_PORT": str(port), "DATABASE_POOL_SIZE": "20"}
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [sys.executable, *web_arguments("127.0.0.1", port)], env=environment, stdout=log, stderr=log
        )
        try:
            url = f"http://127.0.0.1:{port}"
            for _ in range(600):
                try:
                    httpx.get(f"{url}/healthz", timeout=5).raise_for_status()
                    break
                except httpx.HTTPError:
                    time.sleep(0.1)
            yield f"{url}/v1/query"
        finally:
            process.terminate()
            process.wait(30)


def _pins() -> list[tuple[str, str]]:
    """The packages with most advisories, each at a version that one of them speaks of."""
    from django.db.models import Count

    from checks.models import Advisory, AdvisoryPackage

    rows = AdvisoryPackage.objects.filter(ecosystem="PyPI").values("package").annotate(many=Count("pk"))
    found = []
    for name in rows.order_by("-many", "package").values_list("package", flat=True):
        document = Advisory.objects.filter(packages__package=name).latest("pk").document
        versions = [text for each in document["affected"] for text in each.get("versions") or []]
        found.append((name, str(versions[len(versions) // 2]) if versions else "1.0"))
        if len(found) == PINS:
            break
    return found


def _ask(url: str, pins: list[tuple[str, str]]) -> tuple[float, int]:
    import httpx

    hits = 0
    with httpx.Client(timeout=30) as client:
        began = time.perf_counter()
        for name, version in pins:
            body = {"package": {"name": name, "ecosystem": "PyPI"}, "version": version}
            hits += "vulns" in client.post(url, json=body).raise_for_status().json()
        return time.perf_counter() - began, hits


def _pip_audit(url: str, pins: list[tuple[str, str]]) -> float | None:
    from checks.tools import toolbox

    program = os.environ.get("PIP_AUDIT") or str(toolbox.folder_of("packages") / "bin" / "pip-audit")
    if not Path(program).exists():
        return None
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder) / "requirements.txt"
        wanted.write_text("".join(f"{name}=={version}\n" for name, version in pins))
        argv = [program, "-r", str(wanted), "--no-deps", "--disable-pip", "-s", "osv", "--osv-url", url, "-f", "json",
                "--progress-spinner", "off", "--cache-dir", folder]  # fmt: skip
        began = time.perf_counter()
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        took = time.perf_counter() - began
    told = [one for one in json.loads(done.stdout)["dependencies"] if one.get("vulns")]
    print(f"  the same by pip-audit, {len(told)} vulnerable  {took:.2f} s  limit {PINS_LIMIT:.0f} s")
    return took


def _made() -> Iterator[tuple[str, Any]]:
    with _archive("yaml", YAML_ENTRIES) as archive:
        yield "made-yaml.tar.gz", archive
    with _archive("json", JSON_ENTRIES) as archive:
        yield "made-json.tar.gz", archive


@contextmanager
def _archive(form: str, many: int) -> Iterator[Any]:
    import yaml

    with tempfile.TemporaryFile() as out:
        with tarfile.open(fileobj=out, mode="w:gz", compresslevel=1) as archive:
            for number in range(many):
                entry = _entry(number)
                text = json.dumps(entry) if form == "json" else yaml.dump(entry, Dumper=yaml.CSafeDumper)
                info = tarfile.TarInfo(f"vulns/{entry['id']}.{form}")
                info.size = len(text.encode())
                archive.addfile(info, io.BytesIO(text.encode()))
        out.seek(0)
        yield out


def _entry(number: int) -> dict[str, Any]:
    """About as long as a real one: 40 versions, a text and some addresses."""
    name = f"package-{number // 4}"
    return {
        "id": f"PYSEC-2026-{number}",
        "modified": "2026-11-20T00:00:00Z",
        "aliases": [f"CVE-2026-{number}", f"GHSA-{number:012x}"],
        "details": "Something can be done that should not be possible. " * 12,
        "affected": [
            {
                "package": {"name": name, "ecosystem": "PyPI", "purl": f"pkg:pypi/{name}"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "4.0"}]}],
                "versions": [f"{major}.{minor}" for major in range(4) for minor in range(10)],
            }
        ],
        "references": [{"type": "WEB", "url": f"https://example.test/{name}/{page}"} for page in range(6)],
    }


if __name__ == "__main__":
    sys.exit(main())
