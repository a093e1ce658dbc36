#!/bin/sh
# Back end: the virtual environment of this build: its code, and what its lock names.
. "$(dirname "$0")/../../hosting/ops.sh"
install_release
