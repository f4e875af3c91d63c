# shellcheck disable=SC2154 # work and folder are set in what is written around this
say() { printf '==> %s\n' "$*"; }

stop() {
    printf 'stopped: %s\n' "$*" >&2
    exit 1
}

# put PATH MODE OWNER GROUP: bring a file to what standard input says; another version is kept beside it.
put() {
    cat >"$work/file"
    if cmp -s "$work/file" "$1"; then
        [ "$(stat -c %a:%U:%G "$1")" != "$2:$3:$4" ] || return 0
    elif [ -s "$1" ]; then
        install -m 600 "$1" "$1.rmqsetup.save"
    fi
    say "write $1"
    install -D -m "$2" -o "$3" -g "$4" "$work/file" "$1"
}

# drop PATH [DIRECTORY ...]: remove a file, then those directories that are empty.
drop() {
    [ -e "$1" ] || return 0
    say "remove $1"
    rm -f "$1"
    shift
    for directory; do
        rmdir "$directory" 2>/dev/null || :
    done
}

# given NAME SHA256: say where a file is that came with this script, or stop.
given() {
    [ -f "$folder/$1" ] || stop "put $1 beside this script, or name its folder as the first argument"
    [ "$(sha256sum <"$folder/$1")" = "$2  -" ] || stop "$folder/$1 is not the file this script was made with"
}

# patiently SECONDS COMMAND ...: run a command, again and again while somebody else holds its lock.
patiently() {
    left=$1
    shift
    until "$@" </dev/null 2>"$work/said"; do
        cat "$work/said" >&2
        grep -q -e 'Could not get lock' -e 'is another process using it' -e 'management is locked' -e 'lock is held by' \
            -e 'locked by' -e 'transaction lock' "$work/said" || return 1
        [ "$left" -gt 0 ] || return 1
        left=$((left - 1))
        sleep 1
    done
    cat "$work/said" >&2
}

# matches WORD PATTERN ...: whether a word matches one of the shell patterns.
matches() {
    word=$1
    shift
    for pattern; do
        # shellcheck disable=SC2254
        case $word in
            $pattern) return 0 ;;
        esac
    done
    return 1
}

# newer_than SECONDS FILE ...: say the first file that is newer than a moment.
newer_than() {
    moment=$1
    shift
    for file; do
        if [ -e "$file" ] && [ "$(stat -c %Y "$file")" -gt "$moment" ]; then
            printf '%s\n' "$file"
            return 0
        fi
    done
}
