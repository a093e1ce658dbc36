#!/bin/sh
# Back end: make this release the current one and wait until it answers.
. "$(dirname "$0")/../ops.sh"
"$PYTHON" "$HOSTING/switch.py" forward
