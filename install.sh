#!/bin/sh
# Put rmqsetup on this machine, from this checkout, and run `rmqsetup install`.
#
#   ./install.sh [OPTIONS]     set the tool up, then `rmqsetup install OPTIONS`
#   ./install.sh --no-run      only set the tool up
#   ./install.sh --uninstall   remove the tool (never a broker it installed)
#   ./install.sh --python      print the path of a fit Python, or install one
#   ./install.sh --help        show this; for OPTIONS: `rmqsetup install --help`
#
# What it changes: where no Python >= 3.10 can make environments, it installs
# one with the machine's package manager. The tool goes into an environment of
# its own, in /opt/rmqsetup (without root:
# ${XDG_DATA_HOME:-~/.local/share}/rmqsetup), with a link in /usr/local/bin
# (~/.local/bin). Nothing else; a second run finds it in place.

set -eu
umask 022 # the tool is for every user, also where root's files are private

main() {
    trap finish EXIT
    trap 'exit 130' HUP INT TERM
    case $* in
        -h | --help) sed -n '2,/^$/s/^# \{0,1\}//p' "$0" ;;
        --python) need_python && echo "$python" ;;
        --uninstall) remove ;;
        --no-run) set_up ;;
        *--no-run* | *--uninstall* | *--python*) stop "--no-run, --uninstall and --python stand alone." ;;
        *) set_up; forget_log; exec "$environment/bin/rmqsetup" install "$@" 9<&- ;;
    esac
}

set_up() {
    if [ ! -f "$checkout/pyproject.toml" ] || [ ! -d "$checkout/rmqsetup" ]; then
        stop "$checkout is no checkout of rmqsetup." "Run install.sh where it lies, by its path."
    fi
    environment=$place/$(fingerprint)
    if [ "$(readlink "$link")" = "$environment/bin/rmqsetup" ] && works; then
        say "$("$link" --version) is already set up in $environment." && return
    fi
    [ ! -e "$link" ] || ours || stop "$link is there, and not made by install.sh." "Move it away, then run this again."
    enough_room
    make_folder "$place"
    make_folder "$bin"
    need_python
    lock
    if ! works; then build; fi # another run may have built it while this one waited
    switch
    say "$("$link" --version) is set up as $link."
    [ ! -s "$place/packages" ] || say "Installed for it: $(packages)."
    say "To undo this: $checkout/install.sh --uninstall"
    case :$PATH: in *:"$bin":*) ;; *) say "$bin is not on your PATH. Type: export PATH=\"$bin:\$PATH\"" ;; esac
}

remove() {
    [ -d "$place" ] || ours || { say "There is no rmqsetup in $place: nothing to remove." && return; }
    left=$(packages)
    ! ours || rm -f "$link"
    rm -rf "$place"
    say "Removed $place and $link. A broker it installed stays: rmqsetup, set up again, uninstalls it."
    [ -z "$left" ] || say "Installed for it, and still there: $left." "To remove them: apt-get remove --auto-remove $left"
}

# ---- Python

# The system's own first: one in somebody's home folder is not for every user. Debian keeps
# ensurepip, without which no environment can be made, in a package of its own, python3-venv.
find_python() {
    for python in /usr/bin/python3 python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        python=$(command -v "$python") || continue
        "$python" -I -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null && return
    done
    return 1
}

# Find a Python, else install one. A package manager is a line; those not yet tried say what to type.
need_python() {
    if find_python; then return
    elif has apt-get; then apt_install python3 python3-venv
    elif has dnf; then ask_for "dnf install python3 (on Enterprise Linux 8 and 9: python3.12)"
    elif has zypper; then ask_for "zypper install python313"
    elif has brew; then ask_for "brew install python"
    elif has pkg; then ask_for "pkg install python3"
    else ask_for "what installs Python on this system"
    fi
    find_python || stop "This system's packages have no Python >= 3.10." "Put one on PATH, then run this again."
}

ask_for() { stop "This machine has no Python >= 3.10 with venv." "As root, type: $1" "Then run this again."; }

apt_install() {
    missing=
    for package; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>&1)" = installed ] || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0 # there, but too old
    say "Installing$missing with apt-get: rmqsetup runs on Python."
    [ "$(id -u)" = 0 ] || { has sudo && sudo true; } || ask_for "apt-get install$missing"
    open_log
    # An update that fails (one dead repository will do) need not concern Python: the install tells.
    as_root apt-get -q update >>"$log" 2>&1 </dev/null || true
    # In a session of its own: ctrl-C must not hit dpkg half-way. The interruption is heeded afterwards.
    # shellcheck disable=SC2086,SC2016 # several names; the inner shell expands
    quietly "apt-get could not install$missing." \
        as_root env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 note="$place/packages" setsid -w sh -c '
        apt-get -qy -o DPkg::Lock::Timeout=300 install --no-install-recommends "$@" || exit
        [ ! -d "${note%/*}" ] || echo "$@" >>"$note"' sh $missing
}
packages() { [ ! -f "$place/packages" ] || sort -u "$place/packages" | xargs; }

# ---- the environment

# Names what would be installed: the names, sizes and checksums of all that goes into the tool.
fingerprint() {
    cd "$checkout"
    find pyproject.toml README.md LICENSE rmqsetup recipes -type f ! -name '*.pyc' -exec cksum {} + |
        LC_ALL=C sort | cksum | tr ' ' -
}

# An environment cannot be moved, so it is built where it will be; it counts once `complete` is in it.
build() {
    say "Setting rmqsetup up in $place (half a minute)."
    open_log
    for other in "$place"/*/; do [ -e "$other/complete" ] || rm -rf "$other"; done # what a killed run left
    rm -rf "$environment"
    building=$environment
    quietly "Python could not make an environment." "$python" -I -m venv "$environment"
    quietly "pip could not install rmqsetup. It needs its index: network, https_proxy, PIP_INDEX_URL?" "$environment/bin/python" -I -m pip install \
        --no-cache-dir --disable-pip-version-check --no-input --progress-bar off "$checkout"
    quietly "rmqsetup does not start." "$environment/bin/rmqsetup" --version
    : >"$environment/complete"
    building=
}
works() { [ -e "$environment/complete" ] && "$environment/bin/rmqsetup" --version >/dev/null 2>&1; }

# One rename switches from the old environment to the new one. The old one stays until the next
# switch: somebody may be running it.
switch() {
    before=$(readlink "$link" || true) # none the first time
    ln -s "$environment/bin/rmqsetup" "$link.$$"
    mv -f "$link.$$" "$link"
    for other in "$place"/*/; do
        case $other in "$environment/" | "${before%bin/rmqsetup}") ;; *) rm -rf "$other" ;; esac
    done
}
ours() { case $(readlink "$link") in "$place"/*) ;; *) return 1 ;; esac }

# The kernel keeps this lock for descriptor 9 of this shell and frees it however the shell ends.
lock() {
    exec 9<"$place"
    "$python" -I -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null && return
    say "Another install.sh is at work on $place: waiting for it."
    "$python" -I -c 'import fcntl, signal; signal.signal(2, signal.SIG_DFL); fcntl.flock(9, fcntl.LOCK_EX)'
}

enough_room() {
    folder=$place
    while [ ! -d "$folder" ]; do folder=$(dirname "$folder"); done
    free=$(df -Pk "$folder" | awk 'NR == 2 { print int($4 / 1024) }')
    [ "${free:-100}" -ge 100 ] || stop "$folder has $free MB of free space; rmqsetup needs 100."
}
make_folder() { cause=$(mkdir -p "$1" 2>&1 && [ -w "$1" ]) || stop "$1 cannot be written to. $cause"; }

# ---- words, log, end

has() { command -v "$1" >/dev/null; }
say() { printf '%s\n' "$@" >&2; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }
open_log() { [ -n "$log" ] || log=$(mktemp "${TMPDIR:-/tmp}/rmqsetup-install.XXXXXX"); }
forget_log() { [ -z "$log" ] || rm -f "$log"; }

stop() {
    printf 'install.sh: %s\n' "$1" >&2; shift
    [ $# = 0 ] || printf '  %s\n' "$@" >&2
    exit 1
}

# Run a command with its words in the log; when it fails, say $1 and show the last of them.
quietly() {
    failure=$1; shift
    if ! "$@" >>"$log" 2>&1 </dev/null; then
        tail -n 12 "$log" | sed 's/^/    /' >&2
        stop "$failure Its last words are above, all of them in $log"
    fi
}

finish() {
    code=$?
    trap '' HUP INT TERM # the end is not interrupted
    [ -z "$building" ] || rm -rf "$building"
    rm -f "$link.$$"
    rmdir "$place" 2>/dev/null || true
    [ "$code" != 130 ] || say "Interrupted. Nothing half-made is left; run it again to go on."
    [ "$code" = 1 ] || forget_log
}

checkout=$(cd "$(dirname "$0")" && pwd -P)
place=/opt/rmqsetup bin=/usr/local/bin
[ "$(id -u)" = 0 ] || place=${XDG_DATA_HOME:-$HOME/.local/share}/rmqsetup bin=$HOME/.local/bin
link=$bin/rmqsetup building='' log='' environment='' python=''
main "$@"
