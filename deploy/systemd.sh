# shellcheck shell=sh disable=SC2034,SC2154 # read by script/deploy, which sets the others
# How script/deploy replaces processes that are units of systemd. Each release has a directory and an environment of its
# own. The link `current` names the release of the next process that starts.

web=${WAYMARK_PORTS:-8001 8002}

fetch() {
    [ "$checkout" = "$root/repository" ] || {
        echo "deploy: run $root/repository/script/deploy" >&2
        return 1
    }
    # Git may continue in the background, where it must not hold the lock.
    git -C "$checkout" fetch --quiet --tags origin 9>&- || return 1
    release=$root/releases/$1
    if [ ! -e "$release/.complete" ]; then
        rm -rf "$release" && mkdir -p "$release" || return 1
        git -C "$checkout" archive --output "$release/.tar" "refs/tags/$1" || return 1
        tar -x -f "$release/.tar" -C "$release" && rm "$release/.tar" || return 1
        (cd "$release" && script/bootstrap requirements.txt -m compileall -q migrations shared web workers) || return 1
        touch "$release/.complete" || return 1
    fi
    version=$1
}

use() {
    version=$1
    ln -sfn "releases/$1" "$root/current.new" && mv -T "$root/current.new" "$root/current"
}

migrate() {
    run migrations
}

run() {
    systemd-run --quiet --wait --pipe --collect --uid=waymark --property=EnvironmentFile=/etc/waymark.env \
        --working-directory="$root/releases/$version" "$root/releases/$version/.venv/bin/python" -m "$@"
}

replace() {
    case $1 in
    [0-9]*)
        systemctl restart "waymark-web@$1.service" || return 1
        wait_for curl --silent --fail --max-time 10 --output /dev/null "$(url "$1")/readyz?only=postgresql,migrations"
        ;;
    *)
        systemctl restart "waymark@$1.service" || return 1
        # The first file is the heartbeat of a loop that runs. systemd removes the directory with the earlier process.
        wait_for find_heartbeat "$1"
        ;;
    esac
}

find_heartbeat() {
    find "${WAYMARK_RUN:-/run}/waymark-$1" -type f 2>/dev/null | grep -q .
}

wait_for() {
    for _ in $(seq 240); do
        "$@" && return 0
        sleep 0.5
    done
    return 1
}

url() {
    echo "http://127.0.0.1:$1"
}

# This release and the one before remain, for a rollback.
finish() {
    before=$(release_before "$version")
    for each in "$root"/releases/*; do
        case ${each##*/} in "$version" | "$before") ;; *) rm -rf "$each" || return 1 ;; esac
    done
}
