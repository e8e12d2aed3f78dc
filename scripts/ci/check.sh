#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-3.0-or-later
# ruff and mypy over the whole checkout, in an environment of their own.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
root=$PWD
tools=$root/.venv-dev
stamp=$tools/lock.sha256
lock=$(sha256sum requirements/lock-dev.txt)
if [ "$(cat "$stamp" 2>/dev/null || true)" != "$lock" ]; then
    python3 -m venv --clear "$tools"
    "$tools/bin/python" -I -m pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r requirements/lock-dev.txt
    echo "$lock" >"$stamp"
fi
"$tools/bin/ruff" check .
# mypy names modules after folders: a link gives the checkout its package name, whatever the folder is called.
mkdir -p .cache/types
ln -sfn "$root" .cache/types/motion_queue
cd .cache/types
MYPYPATH=$root/.cache/types "$tools/bin/mypy" --config-file "$root/pyproject.toml" --cache-dir "$root/.mypy_cache" -p motion_queue
