#!/bin/sh
# Database: bring the schema and its data to this release. On a clone in a rehearsal, for real in a deployment.
. "$(dirname "$0")/thinkincoin.sh"
need GONOGO_WORK
install_release
thinkincoin showmigrations --plan >"$GONOGO_WORK/migrations.txt"
echo "$(grep -c '^\[ \]' "$GONOGO_WORK/migrations.txt" || true) migrations are to be applied."
thinkincoin migrate --noinput
