#!/usr/bin/env bash
# Makes the virtual environment .venv of this checkout and installs Finial into it, editable.
#   tools/venv.sh run    what `finial` needs to run
#   tools/venv.sh dev    that, and what lint and the tests need
# Debian packages that are missing are installed when root or sudo allows, else named in one line.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:?run or dev}
python=${PYTHON:-python3}

install_packages() { # install_packages PACKAGE…
  local missing=() sudo=()
  for p in "$@"; do
    dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing+=("$p")
  done
  [ ${#missing[@]} -eq 0 ] && return
  if [ "$(id -u)" -ne 0 ]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then sudo=(sudo -n); else
      echo "please install first: apt-get install ${missing[*]}" >&2
      exit 1
    fi
  fi
  command -v apt-get >/dev/null || { echo "please install first: ${missing[*]}" >&2; exit 1; }
  echo "installing ${missing[*]}"
  "${sudo[@]}" apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${sudo[@]}" apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
}

command -v "$python" >/dev/null || install_packages python3 python3-venv
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "Finial needs Python 3.11 or later; $python is $("$python" -V 2>&1). Set PYTHON=/path/to/python3.11" >&2
  exit 1
}
"$python" -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
if [ "$what" = dev ]; then
  for tool in openssl strace; do
    command -v "$tool" >/dev/null || install_packages "$tool"
  done
  if ! command -v initdb >/dev/null && ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; then
    # The tests start servers of their own: Debian is told not to make one.
    if [ "$(id -u)" -eq 0 ] && [ ! -e /etc/postgresql-common ]; then
      mkdir -p /etc/postgresql-common/createcluster.d
      echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.d/no-main.conf
    fi
    install_packages postgresql
  fi
fi

if ! .venv/bin/python -c '' 2>/dev/null; then
  rm -rf .venv
  "$python" -m venv .venv
fi
if [ "$what" = dev ]; then extra='[dev]'; else extra=; fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable ".$extra"
if [ "$what" = dev ]; then touch .venv/run .venv/dev; else touch .venv/run; fi
