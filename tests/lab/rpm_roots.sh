# Make of a Debian machine with rpm's tools one that calls itself something else and has its own packages as RPMs.
#
# usage: sh -s MANAGER DBPATH FLAVOUR RELEASE-PACKAGE <rpm_roots.sh
#
# In /run/lab are the packages, the release packages, the distribution's key and its os-release.
set -eu
manager=$1 dbpath=$2 flavour=$3 release=$4

cp /run/lab/os-release /usr/lib/os-release
ln -sf ../usr/lib/os-release /etc/os-release
rm -f /etc/debian_version /etc/issue*

# RPM distributions start nothing by themselves, and their scriptlets may use the network.
echo 'disable *' >/usr/lib/systemd/system-preset/99-default-disable.preset
mkdir -p /etc/rpm /usr/lib/rpm/macros.d /usr/lib/sysimage "$dbpath"
printf '%s\n' "%_dbpath $dbpath" '%__transaction_unshare %{nil}' >/etc/rpm/macros
case $flavour in el*) printf '%s\n' "%rhel ${flavour#el}" "%dist .$flavour" >/usr/lib/rpm/macros.d/macros.dist ;; esac
if [ "$dbpath" != /var/lib/rpm ]; then
    rm -rf /var/lib/rpm
    ln -s "../..$dbpath" /var/lib/rpm
fi
mkdir -p /etc/yum.repos.d /etc/pki/rpm-gpg /etc/pki/tls/certs
ln -sf /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt
key=/etc/pki/rpm-gpg/RPM-GPG-KEY-lab
cp /run/lab/distribution.asc "$key"

system() {
    printf '%s\n' '[lab-system]' 'name=The distribution itself' 'baseurl=http://mirror.test/system' 'enabled=1' \
        'gpgcheck=1' 'repo_gpgcheck=1' "gpgkey=file://$key" 'metadata_expire=3600' "$@"
}
case $manager in
    dnf4)
        ln -sf dnf-3 /usr/bin/yum
        # Debian's plugins are another choice than the distributions'
        for plugin in local show_leaves leaves system_upgrade post-transaction-actions pre-transaction-actions \
            modulesync versionlock expired-pgp-keys; do
            file=$(echo "$plugin" | tr - _)
            rm -f "/usr/lib/python3/dist-packages/dnf-plugins/$file.py" "/etc/dnf/plugins/$plugin.conf"
        done
        printf '%s\n' '[main]' gpgcheck=1 installonly_limit=3 clean_requirements_on_remove=True best=True \
            skip_if_unavailable=False >/etc/dnf/dnf.conf
        system >/etc/yum.repos.d/lab.repo
        ;;
    dnf5)
        rm -f /usr/bin/dnf /usr/bin/dnf-3 /etc/dnf/libdnf5-plugins/local.conf
        ln -s dnf5 /usr/bin/dnf
        ln -s dnf5 /usr/bin/yum
        mkdir -p /etc/dnf
        printf '%s\n' '[main]' gpgcheck=1 >/etc/dnf/dnf.conf
        system >/etc/yum.repos.d/lab.repo
        ;;
    zypper)
        rm -rf /usr/bin/dnf /usr/bin/dnf-3 /usr/bin/yum /etc/dnf /etc/yum.repos.d
        mkdir -p /etc/zypp/repos.d /etc/products.d
        {
            echo '<?xml version="1.0" encoding="UTF-8"?><product schemeversion="0"><vendor>lab</vendor>'
            echo '<name>Leap</name><version>16.0</version><release>1</release><arch>x86_64</arch>'
            echo '<summary>Lab</summary><shortsummary>Lab</shortsummary><description>Lab</description></product>'
        } >/etc/products.d/Leap.prod
        ln -s Leap.prod /etc/products.d/baseproduct
        system pkg_gpgcheck=1 autorefresh=1 type=rpm-md >/etc/zypp/repos.d/lab.repo
        ;;
esac

rpm --initdb
# rpm 6.1.0 mixes names up when it gets many files at once
for file in /run/lab/seed/*.rpm /run/lab/releases/"$release"-*.rpm; do
    rpm -i --nodeps --nosignature "$file"
done
rpm --import "$key"
rpm -q bash "$release"

# What this is made of must not answer for it.
systemctl disable --now apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer 2>/dev/null || true
rm -rf /usr/bin/apt* /usr/bin/dpkg* /usr/bin/debconf* /usr/sbin/dpkg* /usr/sbin/update-rc.d /usr/sbin/invoke-rc.d \
    /etc/apt /etc/dpkg /var/lib/dpkg /var/lib/apt /var/cache/apt /usr/lib/apt /usr/lib/dpkg \
    /usr/lib/systemd/system/apt* /usr/lib/systemd/system/dpkg* /usr/bin/rpmbuild /usr/bin/createrepo_c
systemctl daemon-reload
