#!/bin/sh
# The application's own tests, in a database of their own beside this environment's, and which lines they run.
#     sh ops/test.sh REPORT.xml COVERAGE.xml
. "$(dirname "$0")/thinkincoin.sh"
[ $# -eq 2 ] || fail "say where the report and the coverage shall be written"
install_release
mkdir -p "$(dirname "$1")" "$(dirname "$2")"
"$RELEASE/venv/bin/python" -m thinkincoin.tests "$1" "$2"
