# Read by every step of pretalx. `pretalx COMMAND ...` runs a command of this release, with this environment's database;
# `pretalx_python FILE ...` runs a file in the same surroundings.

. "$(dirname "$0")/../../hosting/ops.sh"
need DATABASE_URL PRETALX_CONFIG_FILE

pretalx_python() {
    "$PYTHON" "$GONOGO_PLAN_DIR/ops/command.py" "$RELEASE" "$@"
}

pretalx() {
    pretalx_python -m pretalx "$@"
}
