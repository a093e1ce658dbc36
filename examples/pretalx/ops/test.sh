#!/bin/sh
# Tests of this release: inside pretalx, in a database of their own beside this environment's, or from outside.
#     sh ops/test.sh integration REPORT.xml COVERAGE.xml
#     sh ops/test.sh staging REPORT.xml
. "$(dirname "$0")/pretalx.sh"
[ $# -ge 2 ] || fail "say which tests shall run, and where their report and coverage shall be written"
need GONOGO_WORK
install_release
lock="$GONOGO_PLAN_DIR/tests/requirements.txt"
TEST_TOOLS="$("$PYTHON" "$GONOGO_PLAN_DIR/ops/test_tools.py" "$RELEASE" "$lock")"
export TEST_TOOLS
if [ "$1" = integration ]; then
    # Pages name their static files by those that the release collected, and uploads are not for this environment.
    sh "$GONOGO_PLAN_DIR/ops/static.sh"
    PRETALX_FILESYSTEM_DATA="$GONOGO_WORK/data"
    PRETALX_FILESYSTEM_LOGS="$GONOGO_WORK/log"
    export PRETALX_FILESYSTEM_DATA PRETALX_FILESYSTEM_LOGS
    mkdir -p "$PRETALX_FILESYSTEM_DATA" "$PRETALX_FILESYSTEM_LOGS"
fi
pretalx_python "$GONOGO_PLAN_DIR/tests/run.py" "$@"
