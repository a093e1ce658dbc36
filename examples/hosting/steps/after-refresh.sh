#!/bin/sh
# Database: after a refresh staging has production's data; bring it to the build that runs in staging.
# Where that is not the release's build, it is the one that production runs as well, and the data fits it as it is.
. "$(dirname "$0")/../ops.sh"
running="${GONOGO_RUNNING_BUILD_DIGEST:-}"
if [ "${running#sha256:}" != "$digest" ]; then
    echo "${GONOGO_RUNNING_VERSION:-An unnamed build} runs here, not $GONOGO_VERSION; nothing is to be migrated."
    exit 0
fi
exec sh "$GONOGO_PLAN_DIR/ops/migrate.sh"
