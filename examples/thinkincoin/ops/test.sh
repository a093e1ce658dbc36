#!/bin/sh
# The application's own tests, in a database of their own beside this environment's.    sh ops/test.sh REPORT.xml
. "$(dirname "$0")/thinkincoin.sh"
[ $# -eq 1 ] || fail "say where the report shall be written"
install_release
mkdir -p "$(dirname "$1")"
"$RELEASE/venv/bin/python" -m thinkincoin.tests "$1"
