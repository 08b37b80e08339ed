# Sourced by the scripts in dev/: sets up their virtual environment and installs Debian packages.
# shellcheck shell=bash

# Activates .venv with the packages of dev/requirements/$1.txt and this project, editable.
# Creates it, and updates it when the requirements or the project's metadata change.
use_venv() {
    local wanted=$1 stamp python=${PYTHON:-python3}
    if ! is_usable "$python" && { [ -n "${PYTHON:-}" ] || ! want_packages python3-venv || ! is_usable "$python"; }; then
        echo "dev: $python is not Python 3.11 or newer with venv; set PYTHON to one (Debian: apt-get install python3-venv)" >&2
        exit 2
    fi
    stamp=$("$python" -VV && cat "dev/requirements/$wanted.txt" pyproject.toml)
    stamp="$wanted $(printf %s "$stamp" | sha256sum)"
    if [ ! -x .venv/bin/python ]; then
        echo "dev: creating .venv"
        "$python" -m venv .venv
    fi
    # The environment of the tests runs the demo too: a larger set is never reduced to a smaller one.
    if ! grep -qxF -e "$stamp" .venv/stamps 2>/dev/null; then
        echo "dev: installing dev/requirements/$wanted.txt"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes \
            -r "dev/requirements/$wanted.txt"
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation \
            --editable .
        echo "$stamp" >>.venv/stamps
    fi
    PATH=$PWD/.venv/bin:$PATH
    export PATH
}

# Prints the usable Pythons of this machine, oldest first, of each minor version (3.11) the oldest: Debian's, pyenv's,
# those in PATH.
find_pythons() {
    local python minor
    {
        for minor in 11 12 13 14; do
            for python in "/usr/bin/python3.$minor" $(type -ap "python3.$minor") \
                "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor."*/bin/python3; do
                # pyenv puts a shim for each version into PATH, which works only for the selected version
                ! is_usable "$python" || echo "$("$python" -c 'import platform; print(platform.python_version())') $python"
            done
        done
    } | sort --version-sort --stable --key=1,1 | awk '{ split($1, part, "."); if (!seen[part[1] "." part[2]]++) print }' |
        cut -d ' ' -f 2-
}

is_usable() {
    "$1" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

# Installs missing Debian packages where possible; otherwise lists them and returns 1.
want_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "dev: missing packages, which only root on Debian can install: ${missing[*]}" >&2
        return 1
    fi
    echo "dev: installing ${missing[*]}"
    apt-get update -qq >/dev/null &&
        DEBIAN_FRONTEND=noninteractive apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null
}
