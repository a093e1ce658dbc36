"""Run all tests against the server of DATABASE_URL, in a test database.

    python -m thinkincoin.tests REPORT.xml [COVERAGE.xml]

Writes a JUnit report, and which lines of the application were run as Cobertura XML. Leaves with 0 only when tests ran
and none failed.
"""

import os
import sys
from pathlib import Path

import coverage
import django


def main(report: Path, covered: Path | None = None) -> int:
    # From before the first import of the application, whose own lines count as well; nothing is kept but the report.
    measured = coverage.Coverage(data_file=None, source_pkgs=["thinkincoin"], omit=["*/tests/*", "*/migrations/*"])
    measured.start()
    failures = run(report)
    measured.stop()
    if covered is not None:
        measured.xml_report(outfile=str(covered))
    if not report.exists() or "<testcase" not in report.read_text(encoding="utf-8"):
        print("No test ran, so nothing is proved.", file=sys.stderr)
        return 5
    return 1 if failures else 0


def run(report: Path) -> int:
    """How many tests failed."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "thinkincoin.settings"
    os.environ["TESTING"] = "1"
    django.setup()

    from django.conf import settings
    from django.test.utils import get_runner

    settings.TEST_RUNNER = "xmlrunner.extra.djangotestrunner.XMLTestRunner"
    settings.TEST_OUTPUT_DIR = str(report.resolve().parent)
    settings.TEST_OUTPUT_FILE_NAME = report.name
    runner = get_runner(settings)(interactive=False, verbosity=2)
    report.unlink(missing_ok=True)
    return runner.run_tests(["thinkincoin.tests"])


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: python -m thinkincoin.tests REPORT.xml [COVERAGE.xml]")
    sys.exit(main(*map(Path, sys.argv[1:])))
