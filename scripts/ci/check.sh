#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff and mypy over the whole checkout, in an environment of their own. The exit code is the number of checks that failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
tools=$root/.venv-dev
stamp=$tools/lock.sha256
lock=$(sha256sum requirements/lock-dev.txt)
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$lock" ]; then
    install=("$tools/bin/python" -I -m pip install -qq --disable-pip-version-check --require-hashes --only-binary :all:)
    python3 -m venv --clear "$tools" && "${install[@]}" -r requirements/lock-dev.txt || exit 3 # none of the three can be made
    echo "$lock" >"$stamp"
fi
# mypy names modules after folders: a link gives the checkout its package name, whatever the folder is called.
types=$root/.cache/types
mkdir -p "$types"
ln -sfn "$root" "$types/motion_queue"

failed=0
check() {
    echo "$1"
    shift
    "$@" || failed=$((failed + 1))
}
typed() { (cd "$types" && MYPYPATH=$types "$tools/bin/mypy" --config-file "$root/pyproject.toml" --cache-dir "$root/.mypy_cache" -p motion_queue); }

check "ruff check" "$tools/bin/ruff" check --output-format concise .
check "ruff format" "$tools/bin/ruff" format --check .
check "mypy" typed
exit "$failed"
