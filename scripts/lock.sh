#!/usr/bin/env bash
# Writes the lock files anew: hashes, and no address of any registry, so that the files are the
# same wherever they were made, and installs go where the reader's own pip and npm are told to go.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v .venv/bin/uv >/dev/null || .venv/bin/python -m pip install --quiet uv

upgrade=()
if [ "${UPGRADE:-}" = 1 ]; then
  upgrade=(--upgrade)
fi
compile() {
  .venv/bin/uv pip compile --generate-hashes --universal --python-version 3.11 \
    --no-config --no-emit-index-url --no-emit-find-links \
    --custom-compile-command "make lock" --no-annotate --quiet "$@"
}
# Everything, for work on Bursar; then, at the same versions and for the container image, what the
# daemon needs and what builds its wheel.
compile --extra dev --extra kms "${upgrade[@]}" -o requirements.lock pyproject.toml
rm -f requirements-run.lock requirements-build.lock
compile --extra kms --constraint requirements.lock -o requirements-run.lock pyproject.toml
compile --constraint requirements.lock -o requirements-build.lock - <<<"hatchling"

if [ "${UPGRADE:-}" = 1 ]; then
  npm update --package-lock-only --ignore-scripts --no-audit --no-fund --loglevel=error
else
  npm install --package-lock-only --ignore-scripts --no-audit --no-fund --loglevel=error
fi
# npm copies each package's "funding" links and words on its age into the lock; of no use there.
node -e '
  const fs = require("fs");
  const lock = JSON.parse(fs.readFileSync("package-lock.json", "utf8"));
  for (const entry of Object.values(lock.packages)) {
    for (const field of ["funding", "deprecated", "resolved"]) delete entry[field];
  }
  fs.writeFileSync("package-lock.json", JSON.stringify(lock, null, 2) + "\n");
'
