# Read by every step of ThinkInCoin. `thinkincoin COMMAND ...` runs a command of this release.

. "$(dirname "$0")/../../hosting/ops.sh"
need DATABASE_URL SECRET_KEY

STATIC_ROOT="$RELEASE/static"
export STATIC_ROOT

thinkincoin() {
    "$RELEASE/venv/bin/python" -m thinkincoin "$@"
}
