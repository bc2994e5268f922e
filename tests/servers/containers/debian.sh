#!/bin/bash
# A small Debian as a tarball, from the mirror that this machine has: what every stand-in is made from.
#   debian.sh FILE
# It trusts whom this machine trusts, since what it fetches comes the same way.
set -euo pipefail
suite=bookworm
bundle=/etc/ssl/certs/ca-certificates.crt
mirror=$(apt-get indextargets --format '$(REPO_URI) $(LABEL) $(COMPONENT)' 'Created-By: Packages' \
  | sed -n 's/ Debian main$//p' | head -n 1)
options=()
[ -e "$bundle" ] && options=(--customize-hook="upload $bundle $bundle")
mmdebstrap --quiet --variant=minbase --include=ca-certificates "${options[@]}" \
  "$suite" "$1" "${mirror:-http://deb.debian.org/debian}"
