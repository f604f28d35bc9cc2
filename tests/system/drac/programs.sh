#!/bin/sh
# programs.sh FOLDER: puts the programs that the tests of DRAC talk to into a new folder: the genuine ones, which
# left Debian with bullseye (its mirrors still have the packages; they are unpacked and not installed), and the
# clients beside this file.  Says what can't be had; ends with 0 when all is there.  Called by script/bootstrap.
set -u
sources=$(cd "$(dirname "$0")" && pwd)
folder=$1
arch=$(dpkg --print-architecture 2>/dev/null || echo unknown)
whole=0

lack() { # lack WHAT
    echo "bootstrap: $1, so the tests that need them are left out" >&2
    whole=1
}

fetch() { # fetch PACKAGE SHA256
    mirrors=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | sort -u)
    for mirror in $mirrors http://deb.debian.org/debian http://archive.debian.org/debian; do
        /usr/lib/apt/apt-helper -o APT::Sandbox::User=root -o Acquire::Retries=0 download-file \
            "${mirror%/}/pool/main/d/drac/$1_1.12-8+b2_$arch.deb" "$1.deb" "SHA256:$2" >/dev/null 2>&1 &&
            dpkg -x "$1.deb" . && return
    done
    return 1
}

compile() { # compile NAME MORE...
    name=$1
    shift
    gcc -w -I. -I/usr/include/tirpc -o "bin/$name" "$name.c" "$@" -ltirpc
}

clients() {
    cp "$sources"/*.[cx] . &&
        rpcgen -C -h -o interface.h interface.x &&
        rpcgen -C -c -o xdr.c interface.x &&
        rpcgen -C -l -o stubs.c interface.x &&
        compile mapped xdr.c stubs.c &&
        compile direct xdr.c stubs.c
}

mkdir -p "$folder/bin" && cd "$folder" || exit 1
case $arch in
amd64)
    server=d5eff7e13195862ee0c955cf987b935bee1e084531d54a56cf6255f0dcde345f
    library=d688aa17937dcd0de74d5ffc91f4f456e6469ea9165c8a5c1d7265382338f81e
    ;;
arm64)
    server=af18f5bd3c71364cf6378c63aceda6f650b33809f862f2c80ac0d8f1a1e01a44
    library=9ed1ecd0882b9d2e18a2240abeaa57e429996aae409bb577558f3900419fa7c6
    ;;
*)
    server=none
    library=none
    ;;
esac
fetch drac $server && fetch drac-dev $library || lack "the genuine programs of DRAC can't be fetched"
if clients; then
    [ ! -e usr/lib/libdrac.a ] || compile library usr/lib/libdrac.a || lack "libdrac can't be linked"
else
    lack "clients of DRAC can't be compiled (rpcsvc-proto, libtirpc-dev, gcc)"
fi
exit $whole
