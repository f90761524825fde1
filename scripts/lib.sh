# Shared by the scripts beside it: finds a Python, makes .venv in the checkout, installs Hearth into it.
# Sourced, never run. Bash 3.2 (macOS) and up.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$@"
    exit 1
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

# The name of a Python 3.11 or later; $PYTHON first, if it is set.
find_python() {
    local name
    for name in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11 python3.14; do
        if command -v "$name" >/dev/null 2>&1 && is_new_enough "$name"; then
            printf '%s\n' "$name"
            return
        fi
    done
    say "Hearth needs Python 3.11 or later, and found: $(python3 --version 2>/dev/null || echo 'no python3 at all')."
    say "  Debian, Ubuntu:  sudo apt install python3 python3-venv"
    say "  macOS:           brew install python@3.13   (or the installer from python.org)"
    die "If it is installed under another name, say so: PYTHON=/path/to/python3.12 $0"
}

make_venv() {
    local python version
    python=$(find_python)
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        say "Python $version is here, but its venv module is not."
        die "  Debian, Ubuntu:  sudo apt install python3-venv   (or python$version-venv)"
    fi
    say "Making .venv with Python $version ..."
    "$python" -m venv --clear "$VENV" || die "Could not make $VENV: see above."
}

# What the environment was made from. The path too: a moved checkout has scripts that point to its old place.
fingerprint() {
    { printf '%s\n' "$ROOT"; cat "$ROOT/pyproject.toml" "$ROOT/constraints.txt"; } | cksum
}

is_installed() {
    [ -f "$VENV/installed-$1" ] && [ "$(cat "$VENV/installed-$1")" = "$2" ]
}

# prepare run|dev: afterwards $VENV/bin has everything, and a second call costs nothing.
prepare() {
    local wanted=$1 now extras=bridges
    now=$(fingerprint)
    if [ -x "$VENV/bin/python" ] && { is_installed "$wanted" "$now" || is_installed dev "$now"; }; then
        return
    fi
    if ! { [ -x "$VENV/bin/python" ] && is_new_enough "$VENV/bin/python" && "$VENV/bin/python" -m pip --version; } >/dev/null 2>&1; then
        make_venv
    fi
    [ "$wanted" = run ] || extras="bridges,$wanted"
    say "Installing Hearth and what it needs into .venv (the first time, about a minute) ..."
    "$VENV/bin/python" -m pip install --quiet --constraint "$ROOT/constraints.txt" --editable "$ROOT[$extras]" ||
        die "The installation failed: see above. It needs the network once; after that none. Try again with: $0"
    printf '%s\n' "$now" >"$VENV/installed-$wanted"
    say "Installed."
}
