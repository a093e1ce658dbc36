#!/bin/sh
# Parity: what the server of this environment is made of, as JSON.
set -eu
exec "${PYTHON:-python3}" "$GONOGO_PLAN_DIR/../hosting/facts.py"
