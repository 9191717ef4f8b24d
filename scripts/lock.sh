#!/usr/bin/env bash
# Writes requirements.lock and package-lock.json anew: hashes, and no address of any registry, so
# that the files are the same wherever they were made and installs go wherever the reader's own
# pip and npm are told to go.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v .venv/bin/uv >/dev/null || .venv/bin/python -m pip install --quiet uv

upgrade=()
if [ "${UPGRADE:-}" = 1 ]; then
  upgrade=(--upgrade)
fi
.venv/bin/uv pip compile pyproject.toml --extra dev "${upgrade[@]}" \
  --generate-hashes --universal --python-version 3.11 \
  --no-config --no-emit-index-url --no-emit-find-links \
  --custom-compile-command "make lock" --quiet -o requirements.lock

if [ "${UPGRADE:-}" = 1 ]; then
  npm update --package-lock-only --ignore-scripts --no-audit --no-fund --loglevel=error
else
  npm install --package-lock-only --ignore-scripts --no-audit --no-fund --loglevel=error
fi
# npm copies each package's "funding" links into the lock; they are of no use there.
node -e '
  const fs = require("fs");
  const lock = JSON.parse(fs.readFileSync("package-lock.json", "utf8"));
  for (const entry of Object.values(lock.packages)) { delete entry.funding; delete entry.resolved; }
  fs.writeFileSync("package-lock.json", JSON.stringify(lock, null, 2) + "\n");
'
