# Read by every step of pretalx. `pretalx COMMAND ...` runs a command of this release, with this environment's database.

. "$(dirname "$0")/../../hosting/ops.sh"
need DATABASE_URL PRETALX_CONFIG_FILE

pretalx() {
    "$PYTHON" "$GONOGO_PLAN_DIR/ops/command.py" "$RELEASE" "$@"
}
