#!/bin/sh
# Back end: the virtual environment of this build, in the cache of this machine, and its release folder.
. "$(dirname "$0")/../ops.sh"
install_release
