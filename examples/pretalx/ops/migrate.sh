#!/bin/sh
# Database: bring the schema and its data to this release. On a clone in a rehearsal, for real in a deployment.
. "$(dirname "$0")/pretalx.sh"
install_release
pretalx migrate --noinput
