#!/usr/bin/env bash
# Stands for the metadata service that each host asks about itself.
set -euo pipefail

url=${*: -1}
case $url in
  http://169.254.169.254/latest/api/token) echo a-token ;;
  http://169.254.169.254/latest/meta-data/*)
    [[ $* == *'X-aws-ec2-metadata-token: a-token'* ]] || { echo "401: no token" >&2 && exit 22; }
    cat "/etc/instance/${url#*/meta-data/}"
    ;;
  *) exit 7 ;;
esac
