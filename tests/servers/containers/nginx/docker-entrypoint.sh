#!/bin/sh
# What the image of nginx does with its templates: each /etc/nginx/templates/NAME.template becomes
# /etc/nginx/conf.d/NAME, with the variables that are set in it, and nginx's own left alone.
# Source: https://hub.docker.com/_/nginx
set -eu

templates=${NGINX_ENVSUBST_TEMPLATE_DIR:-/etc/nginx/templates}
suffix=${NGINX_ENVSUBST_TEMPLATE_SUFFIX:-.template}
output=${NGINX_ENVSUBST_OUTPUT_DIR:-/etc/nginx/conf.d}

if [ "$1" = nginx ] && [ -d "$templates" ]; then
  if ! [ -w "$output" ]; then
    echo "$templates exists, but $output is not writable" >&2
  else
    # shellcheck disable=SC2016
    known=$(env | sed -n "s/^\(${NGINX_ENVSUBST_FILTER:-}[A-Za-z0-9_]*\)=.*/\${\1}/p" | tr '\n' ' ')
    find "$templates" -follow -type f -name "*$suffix" | while read -r template; do
      made="$output/${template#"$templates/"}"
      mkdir -p "$(dirname "$made")"
      envsubst "$known" < "$template" > "${made%"$suffix"}"
    done
  fi
fi
exec "$@"
