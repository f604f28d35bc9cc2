#!/bin/sh
# Builds the Debian package and tries it, in a clean root of a Debian release, where nothing of the
# machine is touched:
#
#   unshare --mount --propagation private run.sh RELEASE TREE FOLDER WHEELS [CACHE]
#
# TREE is what is built, FOLDER takes the packages and everything else; WHEELS has those of
# requirements.lock. CACHE keeps the roots for the next time. All mounts end with the namespace.
set -eu
release=$1 tree=$2 folder=$3 wheels=$4 cache=${5:-$3/roots}
mirror=${DEBIAN_MIRROR:-http://deb.debian.org/debian}
here=$(dirname "$(realpath "$0")")
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
unset TMPDIR # it may be a folder that the roots don't have
quiet="-qq -y --no-install-recommends -o Dpkg::Use-Pty=0 -o APT::Sandbox::User=root"

step() {
    echo "== $(date +%T) $release: $*"
}

layer() { # layer NAME LOWER...: a root on top of others; prints its path
    name=$1
    shift
    mkdir -p "$folder/$name/root" "$folder/$name/upper" "$folder/$name/work"
    lower=$(echo "$*" | tr ' ' ':')
    mount -t overlay overlay "$folder/$name/root" \
        -o "lowerdir=$lower,upperdir=$folder/$name/upper,workdir=$folder/$name/work"
    mount -t proc proc "$folder/$name/root/proc"
    echo "$folder/$name/root"
}

kept() { # kept NAME COMMAND...: makes a folder of the cache, once for its first line and the day
    place=$cache/$1
    stamp="$(date +%Y-%W) $(cat "$here/run.sh" "$tree/debian/control" | cksum)"
    shift
    if [ "$(cat "$place.stamp" 2>/dev/null || true)" != "$stamp" ]; then
        rm -rf "$place" "$place.stamp"
        mkdir -p "$place"
        "$@"
        echo "$stamp" >"$place.stamp"
    fi
}

base() {
    step "debootstrap"
    # What stands on an older one does not fit.
    rm -f "$cache"/*.stamp
    debootstrap --variant=minbase "$release" "$place" "$mirror" >"$folder/debootstrap.log" 2>&1 ||
        { tail -n 20 "$folder/debootstrap.log" >&2; exit 1; }
    cp /etc/resolv.conf "$place/etc/"
    printf 'force-unsafe-io\n' >"$place/etc/dpkg/dpkg.cfg.d/test"
    # Nothing is started by being installed, until it has processes of its own.
    printf '#!/bin/sh\nexit 101\n' >"$place/usr/sbin/policy-rc.d"
    chmod 755 "$place/usr/sbin/policy-rc.d"
    chroot "$place" apt-get update -qq
}

installed() { # installed PACKAGES: on top of the base
    step "installing $*"
    rm -rf "$place.work"
    # On the same file system, which that of FOLDER need not be.
    mkdir "$place.work" "$folder/root.$$"
    mount -t overlay overlay "$folder/root.$$" -o "lowerdir=$cache/base,upperdir=$place,workdir=$place.work"
    mount -t proc proc "$folder/root.$$/proc"
    # shellcheck disable=SC2086
    chroot "$folder/root.$$" apt-get install $quiet "$@" >"$folder/apt.log" 2>&1 ||
        { tail -n 20 "$folder/apt.log" >&2; exit 1; }
    chroot "$folder/root.$$" apt-get clean
    umount "$folder/root.$$/proc" "$folder/root.$$"
    rm -rf "$place.work" "$folder/root.$$"
}

kept base base
kept build installed debhelper po-debconf python3-venv
step "building"
root=$(layer builder "$cache/build" "$cache/base")
mkdir "$root/tree" "$root/wheels"
mount --bind "$tree" "$root/tree"
mount --bind "$wheels" "$root/wheels"
version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$tree/umbcmail/__init__.py")
next=$version.1
# Quickly, not small.
DPKG_DEB_COMPRESSOR_TYPE=gzip DPKG_DEB_COMPRESSOR_LEVEL=1
export DPKG_DEB_COMPRESSOR_TYPE DPKG_DEB_COMPRESSOR_LEVEL
for each in "$version" "$next"; do
    chroot "$root" /tree/script/build-deb --version "$each" --wheels /wheels /packages
done
mkdir -p "$folder/packages"
cp "$root"/packages/*.deb "$folder/packages/"
umount "$root/tree" "$root/wheels" "$root/proc" "$root"

if command -v lintian >/dev/null; then
    step "lintian"
    lintian --allow-root --tag-display-limit 0 --fail-on error,warning "$folder"/packages/umbcmail_"$version"_*.deb
fi

# What the package depends on is there before, so that what is left in the end is its own.
needs=$(dpkg-deb -f "$folder"/packages/umbcmail_"$version"_*.deb Depends | tr ',' '\n' | sed 's/[(|].*//' | tr -d ' ')
# shellcheck disable=SC2086
kept needs installed $needs
step "trying"
root=$(layer host "$cache/needs" "$cache/base")
# Services may be started here, though there is no init.
printf '#!/bin/sh\nexit 0\n' >"$root/usr/sbin/policy-rc.d"
mkdir "$root/packages"
mount --bind "$folder/packages" "$root/packages"
cp "$here/inside.sh" "$here/nexthop.py" "$tree/debian/tests/smoke" "$root/root/"
mount -t tmpfs tmpfs "$root/run"
umount "$root/proc"
# Ports and processes of its own.
unshare --mount --pid --net --uts --ipc --fork --kill-child --mount-proc="$root/proc" sh -eu -c '
    ip link set lo up
    hostname mx.test
    exec chroot "$1" /bin/sh /root/inside.sh "$2" "$3"
' sh "$root" "$version" "$next"

# The units, where a systemd can run beside nothing: that of Debian 12 does with a hierarchy of its
# own in the old manner, which a kernel has also where the machine uses the new one; later ones have
# only that, which belongs to the machine.
if [ "$release" = bookworm ]; then
    # shellcheck disable=SC2086
    kept systemd installed $needs systemd systemd-sysv dbus
    step "systemd"
    root=$(layer booted "$cache/systemd" "$cache/base")
    cp "$here/booted.sh" "$folder"/packages/umbcmail_"$version"_*.deb "$root/root/"
    # shellcheck disable=SC2016
    chroot "$root" sh -c 'useradd --create-home ann && dpkg -i /root/umbcmail_*.deb' >"$folder/dpkg.log" 2>&1 ||
        { cat "$folder/dpkg.log" >&2; exit 1; }
    cat >"$root/lib/systemd/system/trial.target" <<END
[Unit]
Wants=systemd-journald.service dbus.socket umbcmail.target trial.service
DefaultDependencies=no
END
    cat >"$root/lib/systemd/system/trial.service" <<END
[Unit]
DefaultDependencies=no
[Service]
Type=oneshot
ExecStart=/root/booted.sh
StandardOutput=file:/result
StandardError=file:/result
END
    umount "$root/proc"
    # Groups of processes of its own, which are taken away in the end.
    mkdir "$folder/groups"
    mount -t cgroup -o none,name=systemd cgroup "$folder/groups"
    groups=$folder/groups/umbcmail-test-$$
    mkdir "$groups"
    status=0
    sh -c 'echo $$ >"$1/cgroup.procs" && shift && exec "$@"' sh "$groups" timeout -k 5 150 \
        unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child "$here/boot.sh" "$root" || status=$?
    find "$groups" -depth -type d -exec rmdir {} \;
    if [ "$(tail -n 1 "$root/result")" != ok ]; then
        cat "$root/result" >&2
        echo "systemd has ended with $status" >&2
        exit 1
    fi
fi
step "done"
