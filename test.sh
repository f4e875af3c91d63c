#!/bin/sh
# Make the test environment of this checkout, in .venv, and run the tests: pytest ARGUMENTS.
#
#   ./test.sh [ARGUMENTS]                      everything; what this machine cannot do is skipped, with a reason
#   ./test.sh -m "not machine and not broker"  what needs nothing but Python: seconds
#   ./test.sh --help                           show this
#
# As root, where there is apt, it first installs the programs with which the tests boot fresh machines.
# With CI=true a test that lacks something fails instead of being skipped. The environment is made
# again when pyproject.toml changes; to undo: rm -r .venv

set -eu

# What tests/lab and the tests call, as Debian packages.
TOOLS="
    apt-utils busybox dpkg-dev git gnupg gpgv iproute2 mmdebstrap nftables openssl rpm ruby shellcheck sqv amqp-tools
    systemd-container util-linux vagrant xz-utils
"

main() {
    case ${1:-} in -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0" && exit ;; esac
    cd "$(dirname "$0")"
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then add_tools; fi
    made_for=$(cksum pyproject.toml)
    if [ "$(cat .venv/made-for 2>&1)" != "$made_for" ]; then add_environment; fi
    exec .venv/bin/pytest "$@"
}

add_tools() {
    missing=
    for tool in $TOOLS; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$tool" 2>&1)" = installed ] || missing="$missing $tool"
    done
    [ -n "$missing" ] || [ "${CI:-}" = true ] || return 0
    # The tests fetch packages too, so a machine that is new needs the lists in any case.
    twice apt-get -q -o APT::Update::Error-Mode=any update
    # shellcheck disable=SC2086 # several names
    twice env DEBIAN_FRONTEND=noninteractive apt-get -qqy -o DPkg::Lock::Timeout=300 install --no-install-recommends $missing
}

add_environment() {
    python=$(./install.sh --python)
    rm -rf .venv
    "$python" -m venv .venv
    .venv/bin/python -m pip --disable-pip-version-check install --quiet --progress-bar off -e '.[test]'
    echo "$made_for" >.venv/made-for
}

# A network may fail once.
twice() { "$@" >&2 </dev/null || { sleep 10 && "$@" >&2 </dev/null; }; }

main "$@"
