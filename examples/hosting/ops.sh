# Read by every step of a deployment. Gives the step its release and fails loudly.
#
# From the engine: GONOGO_BUILD_FILE, GONOGO_BUILD_DIGEST, GONOGO_VERSION, GONOGO_PLAN_DIR.
# From the plan:   APP_HOME, DATABASE_URL, and what the application itself needs.

set -eu
umask 027

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

need() {
    for name in "$@"; do
        eval "value=\${$name:-}"
        [ -n "$value" ] || fail "the variable $name is not set; nothing was changed; name it in the plan's environment"
    done
}

need APP_HOME GONOGO_BUILD_FILE GONOGO_BUILD_DIGEST GONOGO_VERSION GONOGO_PLAN_DIR

HOSTING="$GONOGO_PLAN_DIR/../hosting"
PYTHON="${PYTHON:-python3}"
digest="${GONOGO_BUILD_DIGEST#sha256:}"
RELEASE="$APP_HOME/releases/$GONOGO_VERSION-$(printf %.12s "$digest")"
export PYTHON PYTHONUNBUFFERED=1

# Every step may be the first to run on this machine (a rehearsal has no step before it), so each makes sure that
# its build is installed; where it is, this takes a moment.
install_release() {
    "$PYTHON" "$HOSTING/install.py"
}

# static_once: whether the static files of this build have still to be made; static_made says that they are.
static_once() {
    if [ -e "$RELEASE/venv/../static-complete" ]; then
        echo "The static files of this build are made already."
        return 1
    fi
}

static_made() {
    touch "$RELEASE/venv/../static-complete"
}

# has_rows TABLE: whether the table holds data already, so that data is made once only.
has_rows() {
    "$RELEASE/venv/bin/python" "$HOSTING/has_rows.py" "$1"
}
