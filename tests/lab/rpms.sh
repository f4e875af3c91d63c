# Build, sign and index the RPM packages of a Debian suite, in a machine of that suite that has rpm's tools.
#
# usage: rpms trees                     unpack the suite's RabbitMQ, Erlang and what they need below /build/tree
#        rpms system                    write the specs of packages that stand for the machine's own, without files
#        rpms build SPEC ...            build packages into /build/rpms
#        rpms sign KEY RPM ...          sign them; /build/gnupg is the keyring
#        rpms index DIRECTORY ...       make repodata
set -eu
tree=/build/tree

trees() {
    mkdir -p /build/debs/partial "$tree"
    apt-get -q update
    apt-get -qqy install --download-only --no-install-recommends -o Dir::Cache::archives=/build/debs/ \
        rabbitmq-server erlang-eldap logrotate
    for deb in /build/debs/*.deb; do
        name=$(basename "$deb")
        name=${name%%_*}
        case $name in erlang-*) name=erlang ;; esac
        mkdir -p "$tree/$name"
        dpkg-deb -x "$deb" "$tree/$name"
    done
    # upstream's package for RPM is one, and below lib64
    mkdir -p "$tree/erlang/usr/lib64" "$tree/erlang/usr/bin"
    mv "$tree/erlang/usr/lib/erlang" "$tree/erlang/usr/lib64/erlang"
    home=$tree/erlang/usr/lib64/erlang
    for file in "$home"/bin/* "$home"/erts-*/bin/* "$home/releases/RELEASES"; do
        if grep -Iq /usr/lib/erlang "$file"; then sed -i s,/usr/lib/erlang,/usr/lib64/erlang,g "$file"; fi
    done
    for program in epmd erl erlc escript run_erl to_erl; do
        [ ! -e "$home/bin/$program" ] || ln -sf "../lib64/erlang/bin/$program" "$tree/erlang/usr/bin/$program"
    done
    rm -rf "$tree/erlang/usr/share" "$tree/erlang/usr/lib" "$tree/erlang/lib" "$tree/erlang/etc"
    rm -rf "$tree/logrotate/usr/share" "$tree/logrotate/var"
}

# What the machine's own packages are called here, and the Debian packages each stands for.
own="
glibc:libc6,libc-bin bash:bash coreutils:coreutils systemd:systemd systemd-libs:libsystemd0,libudev1
shadow-utils:passwd openssl-libs:libssl3* ncurses-libs:libtinfo6 zlib:zlib1g libstdc++:libstdc++6 libgcc:libgcc-s1
rpm:rpm curl:curl ca-certificates:ca-certificates python3:python3 procps-ng:procps iproute:iproute2 sudo:sudo
"

system() {
    covered=
    for pair in $own; do
        # shellcheck disable=SC2046 # several names
        debs=$(installed $(echo "${pair#*:}" | tr , ' '))
        covered="$covered $debs"
        # shellcheck disable=SC2086 # several names
        own_spec "${pair%%:*}" $debs
    done
    others=
    for deb in $(installed 'lib*'); do
        case " $(echo "$covered" | tr '\n' ' ') " in *" $deb "*) ;; *) others="$others $deb" ;; esac
    done
    # shellcheck disable=SC2086
    own_spec lab-libs $others
}

# shellcheck disable=SC2016 # for dpkg-query
installed() { dpkg-query -W -f '${db:Status-Status} ${Package}\n' "$@" | sed -n 's/^installed //p'; }

own_spec() {
    name=$1
    shift
    version=$(dpkg-query -W -f '${Version}\n' "$1" | head -n 1 | sed 's/^[0-9]*://; s/-/+/g; s/[^0-9A-Za-z.+~]//g')
    {
        echo "Name: $name"
        echo "Version: $version"
        echo "Release: 1.lab"
        printf 'Summary: The lab machine itself\nLicense: none\nVendor: Lab distribution\nAutoReqProv: no\n'
        case $name in
            bash) echo "Provides: /bin/sh" ;;
            coreutils) echo "Provides: /usr/bin/env" ;;
            glibc) echo "Provides: rtld(GNU_HASH)" ;;
        esac
        dpkg-query -L "$@" | grep '\.so' | /usr/lib/rpm/elfdeps --provides | sort -u | sed 's/^/Provides: /'
        printf '%%description\nThe lab machine itself.\n%%files\n'
    } >"/build/specs/$name.spec"
}

build() {
    for spec; do
        rpmbuild -bb --quiet --define "_topdir /build/rb" --define "_rpmdir /build/rpms" --define "_rpmformat 4" \
            --define "_binary_payload w1.gzdio" --define "_use_weak_usergroup_deps 1" --define "debug_package %{nil}" \
            --define "__os_install_post %{nil}" --define "_build_id_links none" --define "_buildhost lab" "$spec" \
            >/build/log 2>&1 || { cat /build/log >&2 && exit 1; }
    done
    find /build/rpms -name '*.rpm' | sort
}

sign() {
    key=$1
    shift
    rpmsign --define "_gpg_name $key" --define "_gpg_path /build/gnupg" --define "_openpgp_sign gpg" \
        --define "__gpg /usr/bin/gpg" --addsign "$@" >/dev/null
}

index() {
    for directory; do createrepo_c --quiet --no-database "$directory"; done
}

"$@"
