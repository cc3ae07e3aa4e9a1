# shellcheck shell=sh disable=SC2034,SC2154 # read by script/deploy, which sets the others
# How script/deploy replaces processes with Docker Compose: web-a and web-b behind a proxy, and one service for each
# other process. The checkout names the services, and WAYMARK_VERSION the image.

web="web-a web-b"

compose() {
    (cd "$checkout" && WAYMARK_VERSION=${version#v} docker compose "$@")
}

fetch() {
    [ -z "${WAYMARK_REPOSITORY-}" ] || command -v gh >/dev/null || {
        echo "deploy: WAYMARK_REPOSITORY is set, and gh is not installed" >&2
        return 1
    }
    # Git may continue in the background, where it must not hold the lock.
    git -C "$checkout" fetch --quiet --tags origin 9>&- || return 1
    check_out "$1" || return 1
    compose pull --quiet --policy missing release || return 1
    [ -z "${WAYMARK_REPOSITORY-}" ] || verify || return 1
    # All that follows needs the stores. They run already, except before the first deployment.
    stores=$(compose config --services | grep -Ex 'postgres|redis|rabbitmq|pgbouncer') || return 1
    # shellcheck disable=SC2086
    compose up --detach --no-recreate --no-build --wait --wait-timeout 180 $stores
}

verify() {
    image=$(compose config --images release | head -n 1) || return 1
    digest=$(docker image inspect --format '{{index .RepoDigests 0}}' "$image") || return 1
    gh attestation verify "oci://$digest" --repo "$WAYMARK_REPOSITORY"
}

check_out() {
    version=$1
    git -C "$checkout" checkout --quiet --detach "refs/tags/$1"
}

# `docker compose up` without script/deploy then uses the same version.
use() {
    check_out "$1" || return 1
    touch "$checkout/.env" || return 1
    ! grep -qx "WAYMARK_VERSION=${1#v}" "$checkout/.env" || return 0
    settings=$(sed '/^WAYMARK_VERSION=/d' "$checkout/.env") || return 1
    (umask 077 && printf '%s\nWAYMARK_VERSION=%s\n' "$settings" "${1#v}" >"$checkout/.env.new") || return 1
    mv "$checkout/.env.new" "$checkout/.env"
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

# Start what does not run: the proxy, or a service that is new in this release.
finish() {
    compose up --detach --no-recreate --no-build
}
