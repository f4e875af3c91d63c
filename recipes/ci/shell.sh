#!/bin/sh
# Run a command beside a throwaway broker on any machine with Python 3.10 or newer: sh shell.sh pytest -q
#
# RMQSETUP is what pip installs, RABBITMQ a series such as 4.2. Where there is no RabbitMQ, apt's lists of packages
# have to be there (apt-get update); nothing else takes root.
set -eu
tool=${RMQSETUP_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/rmqsetup-tool}
if ! command -v rmqsetup >/dev/null; then
    [ -x "$tool/bin/rmqsetup" ] || {
        python3 -m venv "$tool"
        "$tool/bin/pip" --disable-pip-version-check install --quiet \
            "${RMQSETUP:-git+https://github.com/rmqsetup/rmqsetup}"
    }
    PATH=$PATH:$tool/bin
fi
exec rmqsetup run ${RABBITMQ:+--rabbitmq "$RABBITMQ"} -- "$@"
