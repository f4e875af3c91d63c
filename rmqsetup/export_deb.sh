# shellcheck shell=sh disable=SC2154 # what is in export.sh
# there NAME [VERSION]: whether a package is installed, at that version where one is named.
there() {
    state=$(dpkg-query -W -f '${db:Status-Abbrev}${Version}' "$1" 2>/dev/null) || return 1
    case $state in
        ?i\ "${2:-${state#???}}") return 0 ;;
    esac
    return 1
}

# judge: read a simulated transaction; stop unless it is what was resolved.
judge() {
    while read -r kind name rest; do
        case $kind in
            Remv | Purg) stop "apt would also remove $name, so nothing was changed" ;;
            Inst) in_family "$name" || continue ;;
            *) continue ;;
        esac
        case $(dpkg-query -W -f '${db:Status-Abbrev}' "$name" 2>/dev/null) in
            hi*) stop "$name is held, and another version is needed; if the hold may go: apt-mark unhold $name" ;;
        esac
        origins=${rest#*\(}
        origins=${origins#* }
        while [ -n "$origins" ]; do
            if may_come_from "${origins%%:*}"; then continue 2; fi
            case $origins in
                *', '*) origins=${origins#*, } ;;
                *) origins= ;;
            esac
        done
        stop "$name would come from elsewhere than resolved: $rest"
    done
}

# mark LETTER WORD PATTERN ...: give every installed package with that selection letter another selection.
mark() {
    letter=$1 selection=$2
    shift 2
    { dpkg-query -W -f '${db:Status-Abbrev}${Package}\n' "$@" 2>/dev/null || :; } |
        sed -n "s/^${letter}i \(.*\)/\1 $selection/p" | dpkg --set-selections
}
