# Run a package command while the start of one service is refused and some directories are kept.
#
# usage: transaction SERVICE [DIRECTORY ...] -- COMMAND [ARGUMENT ...]
#        transaction - DIRECTORY ... -- purge-keeping COMMAND [ARGUMENT ...]
#
# Maintainer scripts ask /usr/sbin/policy-rc.d before they start anything: ours says no for SERVICE
# alone, so that the node boots once, later, with its configuration in place, and a node that cannot
# start never leaves dpkg half-configured. A policy that was there is asked for everything else, and
# comes back. With purge-keeping the directories are moved aside, so that a purge that deletes them
# deletes nothing; where one cannot be moved, as a mount point, nothing is purged. An *-env.conf of
# comments alone, which the package put there, goes afterwards.
# All is put back when COMMAND has ended, also when this shell was killed (a sentinel in a session of
# its own sees to that) and, should both have been killed, by the next run.
set -u
service=$1
shift
directories=
while [ "$1" != -- ]; do
    directories="$directories $1"
    shift
done
shift
policy=/usr/sbin/policy-rc.d
note=/var/lib/misc/rmqsetup-transaction # is there as long as something has to be put back
mark=rmqsetup-transaction-$$

# shellcheck disable=SC2016
restore='
mark=$1 policy=$2 note=$3; shift 3
if grep -q "$mark" "$policy" 2>/dev/null; then rm -f "$policy"; fi
if [ -e "$policy.rmqsetup-kept" ] && [ ! -e "$policy" ]; then mv "$policy.rmqsetup-kept" "$policy"; fi
for directory; do
    [ -e "$directory.rmqsetup-kept" ] || continue
    [ ! -d "$directory" ] || rmdir "$directory" 2>/dev/null || continue
    mv "$directory.rmqsetup-kept" "$directory"
    for file in "$directory"/*-env.conf; do grep -qs "^[^#]" "$file" || rm -f "$file"; done
    rmdir "$directory" 2>/dev/null
done
rm -f "$note"
'
# shellcheck disable=SC2086
put_back() { sh -c "$restore" put-back "$1" "$policy" "$note" $directories; }

put_back rmqsetup-transaction-
# shellcheck disable=SC2016,SC2086
setsid sh -c 'while kill -0 "$1" 2>/dev/null; do sleep 0.3; done; shift; restore=$1; shift; eval "$restore"' \
    sentinel $$ "$restore" "$mark" "$policy" "$note" $directories </dev/null >/dev/null 2>&1 &
sentinel=$!
trap 'kill "$sentinel" 2>/dev/null; put_back "$mark"' EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
: >"$note"

if [ "$service" != - ]; then
    [ ! -e "$policy" ] || mv "$policy" "$policy.rmqsetup-kept"
    cat >"$policy" <<EOF
#!/bin/sh
# $mark: refuses the start of $service while its package is installed; gone in a moment.
for word; do
    case \$word in $service | $service.service) ! kill -0 $$ 2>/dev/null || exit 101 ;; esac
done
[ ! -x "$policy.rmqsetup-kept" ] || exec "$policy.rmqsetup-kept" "\$@"
EOF
    chmod 755 "$policy"
fi
if [ "$1" = purge-keeping ]; then
    shift
    for directory in $directories; do
        [ -e "$directory" ] || continue
        why=$(mv -T "$directory" "$directory.rmqsetup-kept" 2>&1) && continue
        echo "E: $directory cannot be set aside, and a purge would delete what is in it: $why" >&2
        exit 1
    done
fi
"$@" 3>&1 # apt closes its status stream to dpkg, so that stream must not be dpkg's own standard output
