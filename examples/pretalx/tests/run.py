"""Run one set of tests, and write what became of each.

    python command.py RELEASE_FOLDER run.py integration REPORT.xml COVERAGE.xml
    python command.py RELEASE_FOLDER run.py staging REPORT.xml

`integration` runs in pretalx's own surroundings: its settings, its packages, a test database on its server. `staging`
asks the server at PORT. Both by pretalx's Python; the tools come from TEST_TOOLS, behind its own packages, so that none
of these is replaced. Leaves with 0 only when tests ran and none failed.
"""

import os
import sys
import unittest
from importlib.util import find_spec
from pathlib import Path

sys.path.append(os.environ["TEST_TOOLS"])

import coverage
import django
import xmlrunner

HERE = Path(__file__).resolve().parent
OMITTED = ["*/migrations/*", "*/management/commands/*"]


def integration(report: Path, covered: Path) -> int:
    """How many tests failed, with what they ran of pretalx as Cobertura XML. From before its first import."""
    # By its folder, so that files are named as they are called inside pretalx.
    folder = Path(str(find_spec("pretalx").origin)).resolve().parent
    measured = coverage.Coverage(data_file=None, source=[str(folder)], omit=OMITTED)
    measured.start()
    os.environ["DJANGO_SETTINGS_MODULE"] = "pretalx.settings"
    django.setup()

    from django.conf import settings
    from django.test.utils import get_runner

    settings.TEST_RUNNER = "xmlrunner.extra.djangotestrunner.XMLTestRunner"
    settings.TEST_OUTPUT_DIR = str(report.parent)
    settings.TEST_OUTPUT_FILE_NAME = report.name
    # Each test by name in the log, and none of the migrations.
    settings.TEST_OUTPUT_VERBOSE = 2
    failures = get_runner(settings)(interactive=False, verbosity=1, top_level=str(HERE)).run_tests(["integration"])
    measured.stop()
    measured.xml_report(outfile=str(covered))
    return int(failures)


def staging(report: Path) -> int:
    tests = unittest.defaultTestLoader.discover(str(HERE / "staging"), top_level_dir=str(HERE))
    with report.open("wb") as output:
        result = xmlrunner.XMLTestRunner(output=output, verbosity=2).run(tests)
    return len(result.failures) + len(result.errors)


def main(name: str, report: Path, *more: Path) -> int:
    report.parent.mkdir(parents=True, exist_ok=True)
    report.unlink(missing_ok=True)
    failures = {"integration": integration, "staging": staging}[name](report, *more)
    if not report.exists() or "<testcase" not in report.read_text(encoding="utf-8"):
        print("No test ran, so nothing is proved.", file=sys.stderr)
        return 5
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: run.py integration REPORT.xml COVERAGE.xml | staging REPORT.xml")
    sys.exit(main(sys.argv[1], *map(Path, sys.argv[2:])))
