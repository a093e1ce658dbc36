#!/bin/sh
# Back end: end the server; what people ask for waits until the next switch, while the database changes.
. "$(dirname "$0")/../ops.sh"
"$PYTHON" "$HOSTING/switch.py" hold
