#!/bin/sh
# Make the secrets of infra/compose/compose.yaml, once: sh infra/compose/secrets.sh [FOLDER]
#
# What is there stays: a password that PostgreSQL or MinIO was started with must not change under them.
set -eu
umask 077
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
random() { od -An -N24 -tx1 /dev/urandom | tr -d ' \n'; }
make() {
    [ -s "$folder/$1" ] || printf '%s' "$2" >"$folder/$1"
}
make postgres_password "$(random)"
make postgres_url "postgresql://andon:$(cat "$folder/postgres_password")@postgres:5432/andon"
make s3_access_key andon
make s3_secret_key "$(random)"
make ray_token "$(random)"
make grafana_password "$(random)"
# The processes in the image are user 10001, and compose mounts the files as they are.
chmod 0444 "$folder"/*
chmod 0700 "$folder"
echo "secrets are in $folder: keep them out of the repository and of backups that others read"
