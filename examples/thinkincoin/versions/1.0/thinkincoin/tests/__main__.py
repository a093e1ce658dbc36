"""Run all tests against the server of DATABASE_URL, in a test database.    python -m thinkincoin.tests REPORT.xml

Writes a JUnit report. Leaves with 0 only when tests ran and none failed.
"""

import os
import sys
from pathlib import Path

import django


def main(report: Path) -> int:
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
    failures = runner.run_tests(["thinkincoin.tests"])
    if not report.exists() or "<testcase" not in report.read_text(encoding="utf-8"):
        print("No test ran, so nothing is proved.", file=sys.stderr)
        return 5
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m thinkincoin.tests REPORT.xml")
    sys.exit(main(Path(sys.argv[1])))
