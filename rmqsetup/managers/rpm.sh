# What dnf and zypper do not tell by themselves, asked of rpm.
#
# usage: rpm list [LOCKFILE ...]
#        rpm transact [NAME | NAME=VERSION | NAME- ...] -- COMMAND [ARGUMENT ...]
#        rpm mend
#        rpm again JOINT [NAME | NAME=VERSION ...] -- COMMAND [ARGUMENT ...]
#        rpm hold|release DNF-CONFIGURATION NAME ...
#        rpm emptied FILE -- COMMAND [ARGUMENT ...]
#
# list says which packages are installed, by whom they were made and signed, and what the files say in which
# locks are kept. transact runs COMMAND and judges by what rpm says afterwards: a scriptlet that failed is
# no failure where the package is there, and no error is no success where it is not. While it runs there is a
# note that it was begun, and afterwards one as old as its beginning: what started earlier may run programs that
# are replaced now. mend removes older versions that a cut transaction left beside the newer ones. again
# runs COMMAND with those of the packages that are there, as NAME JOINT VERSION in one word. hold and release use
# dnf's versionlock, or the configuration's excludepkgs where there is none. emptied removes FILE when COMMAND left
# nothing in it.
set -u
verb=$1 toml=/etc/dnf/versionlock.toml note=/var/lib/misc/rmqsetup-transaction tab=$(printf '\t')
shift
evr='%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}'
signature='%|RSAHEADER?{%{RSAHEADER:pgpsig}}:{%|DSAHEADER?{%{DSAHEADER:pgpsig}}|}|'

list() {
    for file; do
        [ -r "$file" ] || continue
        # a configuration may hold a password, which is nobody's business here
        case $file in *.conf) wanted='^exclude' ;; *) wanted=. ;; esac
        sed -n "/$wanted/s/^/lock$tab/p" "$file"
    done
    rpm -qa --qf "package\t%{NAME}\t$evr\t%{ARCH}\t%{VENDOR}\t$signature\n"
}

# Tell whether the machine is as one word wishes it.
is_so() {
    case $1 in
        *-) ! rpm -q --quiet "${1%-}" ;;
        *=*) rpm -q --qf "$evr\n" "${1%%=*}" 2>&1 | grep -qxF "${1#*=}" ;;
        *) rpm -q --quiet "$1" ;;
    esac
}

transact() {
    wishes=
    while [ "$1" != -- ]; do
        wishes="$wishes $1"
        shift
    done
    shift
    mkdir -p "${note%/*}"
    : >"$note.begun"
    "$@"
    code=$?
    mv -f "$note.begun" "$note"
    missed=
    for wish in $wishes; do is_so "$wish" || missed="$missed $wish"; done
    if [ -n "$missed" ]; then
        echo "rpm says that this did not come about:$missed" >&2
        [ "$code" != 0 ] || code=1
    elif [ -n "$wishes" ] && [ "$code" != 0 ]; then
        echo "it ended with $code, and everything is there" >&2
        code=0
    fi
    exit "$code"
}

mend() {
    # several versions of a kernel are meant to be there, of its modules, and so are keys
    rpm -qa --qf "%{NAME}.%{ARCH}\n" | grep -v -e '^gpg-pubkey' -e '^kernel' -e '^kmod' | sort | uniq -d |
        while read -r name; do
            ! rpm -q --provides "$name" | grep -qE '^(installonlypkg|multiversion)\(' || continue
            newest=$(rpm -q --last "$name" | sed -n '1s/ .*//p')
            for package in $(rpm -q "$name"); do
                [ "$package" = "$newest" ] || rpm -e --nodeps "$package" </dev/null
            done
        done
    rm -f "$note.begun"
}

again() {
    joint=$1 there=
    shift
    while [ "$1" != -- ]; do
        name=${1%%=*}
        if rpm -q --quiet "$name"; then there="$there $(rpm -q --qf "$name$joint$evr\n" "$name" | tail -n 1)"; fi
        shift
    done
    shift
    # shellcheck disable=SC2086 # several names
    [ -z "$there" ] || exec "$@" $there
}

has_versionlock() { [ -e /etc/dnf/plugins/versionlock.conf ] || dnf --version 2>/dev/null | grep -q '^dnf5'; }

hold() {
    configuration=$1
    shift
    # the names of installed packages need no repository
    if has_versionlock; then exec dnf -q '--disablerepo=*' versionlock add "$@"; fi
    grep -qs '^\[main\]' "$configuration" || echo '[main]' >>"$configuration"
    grep -q '^excludepkgs *=' "$configuration" || sed -i '/^\[main\]/a excludepkgs=' "$configuration"
    for name; do
        sed -i "/^excludepkgs *=/s/\$/ $name/" "$configuration"
    done
}

release() {
    configuration=$1
    shift
    for name; do
        [ ! -e "$configuration" ] || sed -i -E "/^excludepkgs *=/s/([=, ])$name([, ]|\$)/\1\2/" "$configuration"
    done
    [ ! -e "$configuration" ] || sed -i -E '/^excludepkgs *=/{s/[, ]+$//;/=$/d}' "$configuration"
    # a name that is in no lock is an error to it, and nothing to us
    if has_versionlock; then dnf -q '--disablerepo=*' versionlock delete "$@" || true; fi
    # dnf 5 makes this file with the first lock, and leaves it with the last
    [ ! -e "$toml" ] || grep -q '^name *=' "$toml" || rm -f "$toml"
}

emptied() {
    file=$1
    shift 2
    "$@" || return
    [ -s "$file" ] || rm -f "$file"
}

"$verb" "$@"
