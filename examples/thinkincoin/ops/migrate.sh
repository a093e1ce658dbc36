#!/bin/sh
# Database: bring the schema and its data to this release. On a clone in a rehearsal, for real in a deployment.
. "$(dirname "$0")/thinkincoin.sh"
install_release
thinkincoin migrate --noinput
