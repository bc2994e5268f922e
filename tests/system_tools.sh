#!/bin/bash
# What `make` needs from the system. Root on Debian: installed here, by name. Anybody else: the
# exact command is printed, and we stop; nothing is skipped.
#
#   tests/system_tools.sh python PYTHON    a Python from 3.11 on that can make virtualenvs; whatever
#                                          goes into them comes as a wheel
#   tests/system_tools.sh cargo            what the client tests drive: git, cc, cargo from 1.84 on
#   tests/system_tools.sh browser          what the tests of the pages drive: Chromium, its driver
#   tests/system_tools.sh servers          what a cluster consists of: PostgreSQL, nginx, and Java and
#                                          Maven for the Kafka broker
#   tests/system_tools.sh containers       an engine for containers, and what makes a Debian for them
#   tests/system_tools.sh bench            what the figures are compared with: nginx, asked by wrk
set -euo pipefail

# Debian's own cargo is too old for crates of this decade; cargo-web is kept recent.
cargo_is_recent() {
  local minor
  minor=$(cargo --version 2>/dev/null | sed -nE 's/^cargo 1\.([0-9]+)\..*/\1/p')
  [ -n "$minor" ] && [ "$minor" -ge 84 ] && rustc --version >/dev/null 2>&1
}

# Kafka 4 needs Java 17.
java_is_recent() {
  local major
  major=$(java -version 2>&1 | sed -nE 's/^[a-z]+ version "([0-9]+).*/\1/p')
  [ -n "$major" ] && [ "$major" -ge 17 ]
}

client_of_docker() {
  if apt-cache show docker-cli >/dev/null 2>&1; then echo docker-cli; else echo docker.io; fi
}

missing=()
case "$1" in
  python)
    if [ -z "${2:-}" ]; then
      missing=(python3 python3-venv)
    else
      "$2" -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    fi
    ;;
  cargo)
    command -v git >/dev/null || missing+=(git)
    command -v cc >/dev/null || missing+=(gcc libc6-dev)
    cargo_is_recent || missing+=(cargo-web rustc-web)
    ;;
  browser)
    command -v chromium >/dev/null || missing+=(chromium)
    command -v chromedriver >/dev/null || missing+=(chromium-driver)
    ;;
  servers)
    java_is_recent || missing+=(openjdk-17-jre-headless)
    command -v mvn >/dev/null || missing+=(maven)
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || missing+=(postgresql)
    command -v nginx >/dev/null || missing+=(nginx-light)
    ;;
  containers)
    # Where the client is a package of its own, the engine only recommends it.
    command -v dockerd >/dev/null || docker version >/dev/null 2>&1 || missing+=(docker.io iptables)
    command -v docker >/dev/null || missing+=("$(client_of_docker)")
    command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
    ;;
  bench)
    command -v nginx >/dev/null || missing+=(nginx-light)
    command -v wrk >/dev/null || missing+=(wrk)
    ;;
esac

[ ${#missing[@]} -eq 0 ] && exit 0
command="apt-get update && apt-get install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -ne 0 ] || ! [ -e /etc/debian_version ]; then
  echo "missing: ${missing[*]}. Install with: sudo sh -c '$command'" >&2
  exit 1
fi
echo "installing Debian packages: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}"
if [ "$1" = cargo ] && ! cargo_is_recent; then
  echo "cargo is still missing or older than 1.84: $(command -v cargo || echo none). Put a recent one first in PATH" >&2
  exit 1
fi
