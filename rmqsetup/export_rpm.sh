# shellcheck shell=sh disable=SC2154 # what is in export.sh
# there NAME [VERSION]: whether a package is installed, at that version where one is named.
there() {
    found=$(rpm -q --qf '%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}\n' "$1" 2>/dev/null | tail -n 1) || return 1
    rpm -q --quiet "$1" && [ "$found" = "${2:-$found}" ]
}

# installed PATTERN ...: say the names of the installed packages that match one of the shell patterns.
installed() {
    rpm -qa --qf '%{NAME}\n' | sort -u | while read -r package; do
        if matches "$package" "$@"; then printf '%s\n' "$package"; fi
    done
}

# held NAME FILE ...: whether one of the files says that a package is held.
held() {
    package=$1
    shift
    sh "$work/rpm" list "$@" |
        grep -qE "^lock.*[^A-Za-z0-9.+-]$package(\$|[^A-Za-z0-9.+-]|-[0-9])"
}

# trusted FINGERPRINT: whether rpm trusts a key; it goes by its last digits, from rpm 6 on by all.
trusted() {
    for version in $(rpm -q gpg-pubkey --qf '%{VERSION}\n' 2>/dev/null | grep -E '^[0-9a-f]{8,}$'); do
        case $1 in
            *"$version") return 0 ;;
        esac
    done
    return 1
}
