#!/bin/sh
# Disaster drill: this release in front, on PORT, from the settings that the backup holds.
. "$(dirname "$0")/../ops.sh"
exec "$PYTHON" "$HOSTING/serve.py"
