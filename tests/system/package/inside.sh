#!/bin/sh
# Tries the package in a clean root, with its own processes and network:
#
#   inside.sh VERSION NEXT        /packages has both
set -eu
version=$1 next=$2
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
taken=/root/taken
mkdir $taken

fail() {
    echo "FAILED: $*" >&2
    tail -n 25 /var/log/umbcmail/*.log >&2 || true
    exit 1
}

await() { # await WHAT COMMAND...
    what=$1
    shift
    tries=0
    until "$@" >/dev/null 2>&1; do
        tries=$((tries + 1))
        [ $tries -lt 300 ] || fail "not within 30 s: $what"
        sleep 0.1
    done
}

apt() {
    apt-get -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@" >/root/apt.log 2>&1 || {
        cat /root/apt.log >&2
        fail "apt-get $*"
    }
}

install() { # install VERSION
    apt install "/packages/umbcmail_${1}_$(dpkg --print-architecture).deb"
}

service() {
    /etc/init.d/umbcmail "$@"
}

# So that what is looked for in it is the last word of a line.
files() {
    find / -xdev \( -path /proc -o -path /sys -o -path /packages -o -path /tmp -o -path /root -o -path /run \
        -o -path /var/cache -o -path /var/log/apt -o -path /var/lib/dpkg/info -o -path /var/lib/apt \) -prune -o -print |
        grep -Ev '^/(etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|var/log/(dpkg|alternatives).log|etc/[.]pwd.lock|etc/ld.so.cache|var/lib/dpkg/.*)$' |
        sort
}

processes() { # processes PATTERN: with that in their command lines
    for each in /proc/[0-9]*; do
        if tr '\0' ' ' <"$each/cmdline" 2>/dev/null | grep -q -- "$1"; then
            basename "$each"
        fi
    done
}

next_hop() { # starts it
    /usr/bin/python3 /root/nexthop.py 2525 $taken &
    hop=$!
    await "the next hop" python3 -c 'import socket; socket.create_connection(("127.0.0.1", 2525))'
}

queued() { # queued ADDRESS: by mailq
    mailq | grep -q "$1"
}

arrived() { # arrived SUBJECT
    grep -qrs "^Subject: $1" /home/ann/Maildir/new
}

went() { # went SUBJECT
    grep -qrs "^Subject: $1" $taken
}

mail() { # mail SUBJECT RECIPIENT: as ann, by sendmail -t
    printf 'To: %s\nSubject: %s\n\nbody\n' "$2" "$1" | runuser -u ann -- /usr/sbin/sendmail -t ||
        fail "sendmail -t ends with $?"
}

smtp() { # smtp SUBJECT RECIPIENT
    python3 - "$@" <<'END' || fail "SMTP"
import smtplib, sys
with smtplib.SMTP("127.0.0.1", 25) as server:
    server.sendmail("bob@other.test", [sys.argv[2]], f"Subject: {sys.argv[1]}\r\n\r\nbody\r\n")
END
}

greeted() { # greeted NAME: the host calls itself so
    python3 -c 'import socket; print(socket.create_connection(("127.0.0.1", 25)).recv(200).decode())' | grep "220 $1" >/dev/null
}

useradd --create-home ann
files >/root/before
echo "- install"
install "$version"
service status
[ "$(umbcmail --version)" = "umbcmail $version" ] || fail "the version"
[ "$(stat -c '%U %a' /var/spool/umbcmail)" = "umbcmail 700" ] || fail "the spool's mode"
[ "$(stat -c '%U %G %a' /var/lib/umbcmail)" = "umbcmail umbcmail 750" ] || fail "the mode of what is shared"
[ "$(stat -c '%U %G %a' /var/log/umbcmail)" = "root adm 2750" ] || fail "the mode of the logs"
[ "$(stat -c '%U %G %a' /run/umbcmail-lda)" = "root umbcmail 755" ] || fail "the mode of the local delivery agent's folder"
for each in default/umbcmail init.d/umbcmail umbcmail/umbcmail.toml umbcmail/conf.d/README; do
    dpkg-query -W -f '${Conffiles}' umbcmail | grep -q "^ /etc/$each " || fail "/etc/$each is no conffile"
done
[ "$(stat -c '%U %G %a' /var/spool/umbcmail-drop)" = "umbcmail umbcmail 3733" ] || fail "the drop folder's mode"
[ -s "$(ls /usr/lib/umbcmail/lib/python3.*/site-packages/twisted/plugins/dropin.cache)" ] || fail "no plugin cache"
pid=$(cat /run/umbcmail/pid)
[ "$(stat -c %U "/proc/$pid")" = umbcmail ] || fail "not run as umbcmail"
grep -q '^CapEff:.*0000000000000400$' "/proc/$pid/status" || fail "more than CAP_NET_BIND_SERVICE"
[ "$(stat -c %U "/proc/$(cat /run/umbcmail-lda/pid)")" = root ] || fail "the local delivery agent is not root"
if ! man=$(ls /usr/share/man/man8/umbcmail.8.gz /usr/share/man/man5/umbcmail.toml.5.gz); then fail "no manual: $man"; fi

echo "- mail for a user of this host"
smtp smtp-in ann@localhost
await "mail by SMTP" arrived smtp-in
mail by-sendmail ann
await "mail by sendmail" arrived by-sendmail
grep -rq 'from user ann' /home/ann/Maildir/new || fail "not in the name of ann"

/bin/sh /root/smoke 2>/root/told || fail "the smoke test of autopkgtest: $(cat /root/told)"

echo "- reload"
cat >/etc/umbcmail/conf.d/test.toml <<'END'
[host]
name = "mx1.test"
[networks]
trusted = ["127.0.0.1"]
[hosts]
first-look = "0.2s"
longest-look = "0.5s"
[queue.remote]
retry = ["1s"]
[[route]]
domain = "other.test"
courier = "smtp"
next-hops = ["127.0.0.1:2525"]
END
service reload
await "a new process" sh -c "[ \$(cat /run/umbcmail/pid) != $pid ]"
await "the new name" greeted mx1.test
pid=$(cat /run/umbcmail/pid)
echo 'nonsense = 1' >/etc/umbcmail/conf.d/wrong.toml
! service reload 2>/root/told || fail "a mistake is taken"
grep -q 'wrong.toml: nonsense' /root/told || fail "the mistake is not told: $(cat /root/told)"
rm /etc/umbcmail/conf.d/wrong.toml
[ "$(cat /run/umbcmail/pid)" = "$pid" ] || fail "a mistake was loaded"
greeted mx1.test || fail "nobody answers after a mistake"

echo "- a next hop"
next_hop
mail to-next-hop x@other.test
await "mail at the next hop" went to-next-hop
kill $hop
mail waits y@other.test
await "mailq shows it" queued y@other.test

echo "- upgrade"
sed -i 's/^UMBCMAIL_OPTIONS=.*/UMBCMAIL_OPTIONS="--host mx2.test --delivery-address 127.0.0.1"/' /etc/default/umbcmail
sed -i 's/^#\(UMBCMAIL_ROLES=.*\) --role drac/\1/' /etc/default/umbcmail
install "$next"
service status
[ "$(umbcmail --version)" = "umbcmail $next" ] || fail "the version after the upgrade"
greeted mx2.test || fail "options are lost"
started=$(tr '\0' ' ' <"/proc/$(cat /run/umbcmail/pid)/cmdline")
case $started in
*"--role drac"*) fail "roles are lost: $started" ;;
*"--role queue --role schedule --role watch"*) ;;
*) fail "roles are lost: $started" ;;
esac
queued y@other.test || fail "the queue is lost"
service stop
[ -z "$(processes 'umbcmail run')" ] || fail "processes are left: $(processes 'umbcmail run')"
mail while-down z@other.test
service start
next_hop
await "mail of before the upgrade" went waits
await "mail of while it was down" went while-down
kill $hop

echo "- remove"
mail removed y@other.test
await "mailq shows it" queued y@other.test
apt remove umbcmail
[ -z "$(processes 'umbcmail run')" ] || fail "processes are left after removal"
[ ! -e /usr/sbin/sendmail ] && [ ! -e /usr/lib/umbcmail ] || fail "files are left after removal: $(find /usr/lib/umbcmail)"
[ -e /etc/umbcmail/conf.d/test.toml ] && [ -e /var/spool/umbcmail/spool.db ] || fail "removal takes too much"
[ "$(cat /var/log/umbcmail/queued)" -ge 1 ] || fail "what is queued is not counted"
install "$next"
next_hop
await "mail of before the removal" went removed
kill $hop

echo "- purge"
mail purged y@other.test
await "mailq shows it" queued y@other.test
# Nor is it deleted where it can't be counted.
echo 'nonsense = 1' >/etc/umbcmail/conf.d/wrong.toml
apt purge umbcmail
[ -e /var/spool/umbcmail/spool.db ] || fail "mail is deleted without an answer"
[ ! -e /etc/umbcmail ] && [ ! -e /var/lib/umbcmail ] || fail "not purged: $(find /etc/umbcmail)"
install "$next"
mailq | grep -q y@other.test || fail "kept mail is not there"
echo "umbcmail umbcmail/purge-queue boolean true" | debconf-set-selections
echo '# Of an administrator.' >/etc/umbcmail/conf.d/test.toml
apt purge umbcmail
[ -z "$(processes 'umbcmail run')" ] || fail "processes are left after the purge"
! getent passwd umbcmail || fail "the user is left"
files >/root/after
diff /root/before /root/after | grep -v '/home/ann\|^[0-9,acd]*$' >/root/left || true
[ ! -s /root/left ] || fail "left behind: $(cat /root/left)"
echo "- nothing is left"
