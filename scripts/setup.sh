#!/usr/bin/env bash
# Builds .venv and node_modules as the lock files say, and nothing when they are current.
#
# What "current" means is a hash of the lock files, of the folder (a moved clone has a broken venv)
# and of the interpreter, written as the very last act: an interrupted run is simply done again.
#
#   scripts/setup.sh            Python and Node packages
#   scripts/setup.sh --browser  also Debian's Chromium, for the browser tests
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'setup: %s\n' "$*"; }
fail() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

python_fits() { # 3.11 … 3.13: every locked package has a ready-made build for these
  "$1" -c 'import sys; raise SystemExit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null
}

find_python() {
  local candidate
  if [ -n "${PYTHON:-}" ]; then
    "$PYTHON" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' 2>/dev/null \
      || fail "PYTHON=$PYTHON is not a Python of version 3.11 or newer."
    printf '%s' "$PYTHON"
    return
  fi
  for candidate in python3 python3.13 python3.12 python3.11; do
    if python_fits "$candidate"; then
      command -v "$candidate"
      return
    fi
  done
  fail "no Python 3.11, 3.12 or 3.13 found (python3 is: $(python3 --version 2>&1 || true))." \
    "Install one, or name it: make setup PYTHON=/path/to/python3.12" \
    "A newer one can be named too, but may need a C compiler for some packages."
}

require_venv() { # Debian splits venv off: "import venv" works there and ensurepip does not
  "$1" -c 'import ensurepip, venv' 2>/dev/null && return
  local version
  version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  fail "$1 cannot create virtual environments (its venv or ensurepip module is missing)." \
    "On Debian and Ubuntu: apt-get install python${version}-venv"
}

require_node() {
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    fail "Node.js with npm is missing: install version 20 or newer (Debian: apt-get install nodejs npm)."
  fi
  node -e 'process.exit(Number(process.versions.node.split(".")[0]) >= 20 ? 0 : 1)' \
    || fail "Node.js is $(node --version); Anvil's package asks for 20 or newer."
}

digest() { # of the files named, of where we are, and of what else is given after --
  "$python" - "$PWD" "$@" <<'PY'
import hashlib, pathlib, sys
state = hashlib.sha256(repr((sys.argv[1], sys.version_info, sys.base_prefix)).encode())
for name in sys.argv[2:]:
    file = pathlib.Path(name)
    state.update(f"{name}:{file.stat().st_size}:".encode() + file.read_bytes())
print(state.hexdigest())
PY
}

setup_python() {
  local stamp=.venv/.setup-stamp packages=.venv/.setup-stamp-packages wanted wanted_packages
  wanted_packages=$(digest requirements.lock)
  wanted=$(digest requirements.lock pyproject.toml)
  if [ -x .venv/bin/python ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  require_venv "$python"
  if ! [ -x .venv/bin/python ] || ! .venv/bin/python -m pip --version >/dev/null 2>&1 \
    || [ "$(.venv/bin/python -c 'import sys; print(sys.prefix)')" != "$PWD/.venv" ]; then
    say "creating .venv with $("$python" --version)"
    "$python" -m venv --clear .venv
  fi
  if [ "$(cat "$packages" 2>/dev/null)" != "$wanted_packages" ]; then
    say "installing Python packages from requirements.lock (about a minute)"
    .venv/bin/python -m pip install --quiet --disable-pip-version-check \
      --require-hashes -r requirements.lock
    printf '%s\n' "$wanted_packages" >"$packages"
  fi
  .venv/bin/python -m pip install --quiet --disable-pip-version-check \
    --no-deps --no-build-isolation -e .
  printf '%s\n' "$wanted" >"$stamp"
}

setup_node() {
  local stamp=node_modules/.setup-stamp wanted
  wanted=$(digest package.json package-lock.json)
  if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then
    return
  fi
  say "installing Node packages from package-lock.json"
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  if ! [ -x node_modules/.bin/anvil ]; then
    say "note: no Anvil for this platform in package-lock.json; put Foundry's anvil on the PATH."
  fi
  printf '%s\n' "$wanted" >"$stamp"
}

setup_browser() { # never fails the set-up: without a browser, its tests say why they are skipped
  if [ -x /usr/bin/chromium ] || [ "${SKIP_BROWSER:-}" = 1 ]; then
    return
  fi
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    say "no /usr/bin/chromium: browser tests will be skipped (Debian, as root: apt-get install chromium)."
    return
  fi
  say "installing Chromium for the browser tests (SKIP_BROWSER=1 leaves it out)"
  if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive \
    apt-get install -y -qq --no-install-recommends chromium; } >/dev/null 2>&1; then
    say "Chromium could not be installed: browser tests will be skipped."
  fi
}

setup_promtool() { # unpacked, not installed: the package would start a server
  if command -v promtool >/dev/null || [ -x .tools/usr/bin/promtool ]; then
    return
  fi
  if ! command -v apt-get >/dev/null || ! command -v dpkg-deb >/dev/null; then
    say "no promtool: tests of the alert rules will be skipped (Debian: apt-get install prometheus)."
    return
  fi
  say "fetching promtool for the tests of metrics and alert rules"
  mkdir -p .tools
  if ! (cd .tools && { apt-get download -qq prometheus || { apt-get update -qq &&
    apt-get download -qq prometheus; }; } && dpkg-deb -x prometheus_*.deb . &&
    rm -f prometheus_*.deb) >/dev/null 2>&1; then
    say "promtool could not be fetched: tests of the alert rules will be skipped."
  fi
}

case "${1:-}" in
  "")
    python=$(find_python)
    require_node
    setup_python
    setup_node
    ;;
  --test-tools)
    setup_browser
    setup_promtool
    ;;
  *) fail "unknown argument $1" ;;
esac
