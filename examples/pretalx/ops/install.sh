#!/bin/sh
# Back end: the virtual environment of this build, from the lock that is the build.
. "$(dirname "$0")/../../hosting/ops.sh"
install_release
