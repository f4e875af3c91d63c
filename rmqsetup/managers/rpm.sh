# What dnf and zypper do not tell by themselves, asked of rpm.
#
# usage: rpm list [LOCKFILE ...]
#        rpm transact [NAME | NAME=VERSION | NAME- ...] -- COMMAND [ARGUMENT ...]
#        rpm mend
#        rpm again [NAME | NAME=VERSION ...] -- COMMAND [ARGUMENT ...]
#        rpm hold|release DNF-CONFIGURATION NAME ...
#
# list says which packages are installed, by whom they were made and signed, and what the files say in which
# locks are kept. transact runs COMMAND and judges by what rpm says afterwards: a scriptlet that failed is
# no failure where the package is there, and no error is no success where it is not. While it runs there is
# transaction.begun, and afterwards transaction, as old as its beginning: what started earlier may run programs
# that are replaced now. mend removes older versions that a cut transaction left beside the newer ones. again
# runs COMMAND with those of the packages that are there. hold and release use dnf's versionlock, or the
# configuration's excludepkgs where there is none.
set -u
verb=$1 state=/var/lib/rmqsetup tab=$(printf '\t')
shift
evr='%|EPOCH?{%{EPOCH}:}|%{VERSION}-%{RELEASE}'
signature='%|RSAHEADER?{%{RSAHEADER:pgpsig}}:{%|DSAHEADER?{%{DSAHEADER:pgpsig}}|}|'

list() {
    for file; do
        [ ! -r "$file" ] || sed "s/^/lock$tab/" "$file"
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
    mkdir -p "$state"
    : >"$state/transaction.begun"
    "$@"
    code=$?
    mv -f "$state/transaction.begun" "$state/transaction"
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
    # several versions of a kernel are meant to be there, and so are keys
    rpm -qa --qf "%{NAME}.%{ARCH}\n" | grep -v -e '^gpg-pubkey' -e '^kernel' -e '^kmod' | sort | uniq -d |
        while read -r name; do
            newest=$(rpm -q --last "$name" | sed -n '1s/ .*//p')
            for package in $(rpm -q "$name"); do
                [ "$package" = "$newest" ] || rpm -e --nodeps "$package" </dev/null
            done
        done
    rm -f "$state/transaction.begun"
}

again() {
    count=0
    for wish; do
        [ "$wish" != -- ] || break
        count=$((count + 1))
    done
    there=
    for wish; do
        [ "$count" -gt 0 ] || break
        count=$((count - 1))
        shift
        if rpm -q --quiet "${wish%%=*}"; then there="$there ${wish%%=*}"; fi
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
    [ ! -e "$configuration" ] || sed -i -E '/^excludepkgs *=[, ]*$/d' "$configuration"
    # a name that is in no lock is an error to it, and nothing to us
    if has_versionlock; then dnf -q '--disablerepo=*' versionlock delete "$@" || true; fi
}

"$verb" "$@"
