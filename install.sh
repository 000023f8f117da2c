#!/usr/bin/env bash
# Installs the project and all it needs into .venv, once. Says in one line what is wrong where something is.
set -euo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3}

say() { printf '%s\n' "$*" >&2; }

command -v "$python" >/dev/null || { say "error: $python not found: install Python 3.11 or newer, or name one: make PYTHON=python3.12 ..."; exit 1; }
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  say "error: $("$python" --version 2>&1) is too old, 3.11 or newer is needed; name another: make PYTHON=python3.12 ..."
  exit 1
}
"$python" -c 'import venv, ensurepip' 2>/dev/null || {
  say "error: $python has no venv module: install it (Debian and Ubuntu: apt-get install python3-venv)"
  exit 1
}

log=$(mktemp)
trap 'rm -f "$log"' EXIT
say "installing into .venv (a few minutes, once) ..."
[ -x .venv/bin/python ] || "$python" -m venv .venv
if ! .venv/bin/python -m pip install --disable-pip-version-check --quiet --no-input \
    --constraint constraints.txt --editable '.[fog,s3,sftp,http,train,dev]' >"$log" 2>&1; then
  if grep -qiE 'connection|resolve|network|timed out|No matching distribution|unreachable' "$log"; then
    say "error: packages could not be fetched: is there a network, or a package index that pip is set up for? ($(grep -iE '^ERROR' "$log" | head -n 1))"
  else
    say "error: installing failed: $(grep -iE '^ *error' "$log" | head -n 1); all of it: .venv/install.log"
  fi
  cp "$log" .venv/install.log
  exit 1
fi
touch .venv/.installed
say "installed"
