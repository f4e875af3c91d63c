#!/bin/sh
# What action.yml runs: set the tool up, start or install a broker, hand its address on to the steps that follow.
#
# VERSION, PLUGINS, RECIPE, NODES, MODE are the action's inputs, TOOL is its checkout, GITHUB_* and RUNNER_TEMP the
# runner's. No input is ever read as shell.
set -eu

main() {
    command -v rmqsetup >/dev/null || add_tool
    # Hosted runners come with lists of packages that are weeks old.
    if [ "$MODE" = ephemeral ] && command -v apt-get >/dev/null; then
        as_root apt-get -qq update || echo "the lists of packages stay as they are" >&2
    fi
    set --
    [ -z "$VERSION" ] || set -- "$@" --rabbitmq "$VERSION"
    [ -z "$PLUGINS" ] || set -- "$@" --plugins "$PLUGINS"
    [ -z "$RECIPE" ] || set -- "$@" --recipe "$RECIPE"
    case $MODE in
    ephemeral)
        [ -z "$NODES" ] || set -- "$@" --nodes "$NODES"
        rmqsetup run --detach --github "$@"
        ;;
    system)
        rmqsetup install --yes "$@"
        hand_on
        ;;
    *)
        echo "mode is ephemeral or system, not $MODE" >&2
        exit 2
        ;;
    esac
}

add_tool() {
    python3 -m venv "$RUNNER_TEMP/rmqsetup"
    "$RUNNER_TEMP/rmqsetup/bin/pip" --disable-pip-version-check install --quiet "$TOOL"
    echo "$RUNNER_TEMP/rmqsetup/bin" >>"$GITHUB_PATH"
    PATH=$RUNNER_TEMP/rmqsetup/bin:$PATH
}

as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# An installed broker has RabbitMQ's own ports, and guest from this machine.
hand_on() {
    url=amqp://guest:guest@127.0.0.1:5672/%2F management=
    case ,$PLUGINS, in *,rabbitmq_management,*) management=http://127.0.0.1:15672 ;; esac
    versions=$(as_root "$(command -v rmqsetup)" status --output json)
    {
        echo "AMQP_URL=$url"
        echo "RABBITMQ_URL=$url"
        echo "RABBITMQ_HOST=127.0.0.1"
        echo "RABBITMQ_PORT=5672"
        echo "RABBITMQ_USER=guest"
        echo "RABBITMQ_PASSWORD=guest"
        echo "RABBITMQ_VHOST=/"
        [ -z "$management" ] || echo "RABBITMQ_MANAGEMENT_URL=$management"
    } >>"$GITHUB_ENV"
    {
        echo "url=$url"
        echo "host=127.0.0.1"
        echo "port=5672"
        echo "management-url=$management"
        echo "version=$(value version "$versions")"
        echo "erlang-version=$(value erlang "$versions" | cut -d . -f 1)"
    } >>"$GITHUB_OUTPUT"
}

value() { printf '%s\n' "$2" | sed -n "s/^ *\"$1\": \"\([^\"]*\)\".*/\1/p" | head -n 1; }

main
