#!/bin/sh
# Install what the live tests and the demonstration need on Debian 12, and only what is missing.
#
#   tests/prerequisites.sh             all of it
#   tests/prerequisites.sh --modules   after that, every Puppet module that Debian packages, which
#                                      the benchmark looks for classes in
#
# Says nothing when all is there. Tests start private servers of their own, so a service that a new
# package would start and enable is kept from both; services that were here before are left alone.
set -eu

usage() {
    echo "usage: $0 [--modules]" >&2
    exit 2
}

wanted="puppetserver puppet-agent python3-venv curl openssl postgresql busybox fail2ban systemd
    python3-seccomp openssh-server openssh-client sudo"
modules="stdlib concat ntp apache mysql apt firewall haproxy inifile mongodb postgresql rabbitmq rsync
    tftp vcsrepo xinetd"
# The modules of OpenStack have hundreds of classes: what a large site looks like.
others="aboe-chrony arioch-redis camptocamp-postfix camptocamp-systemd rodjek-logrotate
    saz-memcached saz-rsyslog saz-ssh voxpupuli-collectd voxpupuli-corosync
    glance keystone neutron nova"
for name in $modules; do wanted="$wanted puppet-module-puppetlabs-$name"; done
for name in $others; do wanted="$wanted puppet-module-$name"; done

case "${1-}" in
    "") ;;
    --modules) wanted=$(apt-cache search --names-only '^puppet-module-' | cut -d ' ' -f 1) ;;
    *) usage ;;
esac
[ $# -le 1 ] || usage
[ -n "$wanted" ] || {
    echo "$0: the package lists have no Puppet modules: run apt-get update" >&2
    exit 1
}

# One process for all packages: it prints those that are installed whole.
installed=$(dpkg-query --show --showformat='${db:Status-Abbrev}${Package}\n' $wanted 2>/dev/null |
    sed -n 's/^ii //p') || true
missing=""
for name in $wanted; do
    case "
$installed
" in
        *"
$name
"*) ;;
        *) missing="$missing $name" ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=""
elif command -v sudo >/dev/null; then
    as_root="sudo"
else
    echo "$0: these packages are missing, and installing them needs root or sudo:$missing" >&2
    exit 1
fi

log=$(mktemp)
policy=/usr/sbin/policy-rc.d
ours=""
clean_up() {
    [ -z "$ours" ] || $as_root rm -f "$policy"
    rm -f "$log"
}
trap clean_up EXIT
trap 'exit 1' HUP INT TERM

# Debian starts a service when its package is installed, unless this program says no.
if [ ! -e "$policy" ]; then
    ours=yes
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
fi

# Which services a new package must not leave enabled: those that are not here now.
new_services=""
for name in puppetserver puppet postgresql fail2ban ssh; do
    [ -e "/lib/systemd/system/$name.service" ] || new_services="$new_services $name"
done

echo "installing Debian packages:$missing" | fold -s -w 98
apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends"
$apt update >"$log" 2>&1 || true # an old list may do; the next step tells
for name in $missing; do
    if ! $apt install --simulate "$name" >"$log" 2>&1; then
        echo "$0: cannot install $name: $(sed -n 's/^E: //p' "$log" | head -n 1)" >&2
        exit 1
    fi
done
if ! $apt install $missing >"$log" 2>&1; then
    echo "$0: cannot install$missing: $(sed -n 's/^E: //p' "$log" | head -n 1)" >&2
    exit 1
fi

if [ -d /run/systemd/system ]; then
    for name in $new_services; do
        $as_root systemctl --quiet disable "$name.service" >/dev/null 2>&1 || true
    done
fi
