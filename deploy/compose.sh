# shellcheck shell=sh disable=SC2034,SC2154 # read by script/deploy, which sets the others
# How script/deploy replaces processes with Docker Compose: web-a and web-b behind a proxy, and one service for each
# other process. The checkout names the services, and WAYMARK_VERSION the image.

web="web-a web-b"

compose() {
    (cd "$checkout" && WAYMARK_VERSION=${version#v} docker compose "$@")
}

fetch() {
    git -C "$checkout" fetch --quiet --tags origin || return 1
    use "$1" || return 1
    compose pull --quiet --policy missing release || return 1
    [ -n "${WAYMARK_REPOSITORY-}" ] && command -v gh >/dev/null || return 0
    image=$(compose config --images release | head -n 1) || return 1
    digest=$(docker image inspect --format '{{index .RepoDigests 0}}' "$image") || return 1
    gh attestation verify "oci://$digest" --repo "$WAYMARK_REPOSITORY"
}

use() {
    version=$1
    git -C "$checkout" checkout --quiet --detach "$1"
}

migrate() {
    compose run --rm -T release
}

run() {
    compose run --rm -T --no-deps release python -m "$@"
}

replace() {
    compose up --detach --no-deps --no-build --wait --wait-timeout 180 "$1"
}

url() {
    echo "http://$1:8000"
}

# `docker compose up` without script/deploy then uses the same version. The proxy is started if it does not run.
finish() {
    touch "$checkout/.env" || return 1
    settings=$(grep -v '^WAYMARK_VERSION=' "$checkout/.env" || true)
    (umask 077 && printf '%s\nWAYMARK_VERSION=%s\n' "$settings" "${version#v}" >"$checkout/.env.new") || return 1
    mv "$checkout/.env.new" "$checkout/.env" || return 1
    compose up --detach --no-recreate --no-build
}
