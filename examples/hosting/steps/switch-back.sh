#!/bin/sh
# Rollback: make the release before this one the current one again. The database is put back before, by the plan.
. "$(dirname "$0")/../ops.sh"
"$PYTHON" "$HOSTING/switch.py" back
