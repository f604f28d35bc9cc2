#!/bin/sh
# Tries the units, as a service of the systemd that boot.sh has started; /result says how it went.
set -u
PATH=/usr/sbin:/usr/bin:/sbin:/bin
units="umbcmail.service umbcmail-lda.service umbcmail-filter.service"

fail() {
    echo "FAILED: $*"
    # shellcheck disable=SC2086
    systemctl status --no-pager -l $units
    journalctl --no-pager -n 80
    systemctl poweroff --force
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

main() { # main UNIT: its process
    systemctl show -p MainPID --value "$1"
}

another() { # another UNIT PID: it has another process now, and is active
    [ "$(main "$1")" != "$2" ] && [ "$(main "$1")" != 0 ] && systemctl is-active "$1"
}

arrived() {
    grep -qrs "^Subject: $1" /home/ann/Maildir/new
}

mail() {
    printf 'To: ann\nSubject: %s\n\nbody\n' "$1" | runuser -u ann -- /usr/sbin/sendmail -t || fail "sendmail"
}

for unit in umbcmail.service umbcmail-lda.service; do
    await "$unit" systemctl is-active $unit
done
! systemctl is-active umbcmail-filter.service || fail "a filter that is not configured"
mail first
await "mail" arrived first
printf '[filter.mx]\nlisten = "unix:/run/umbcmail/mx-filter"\nmodules = ["pattern"]\n' >/etc/umbcmail/conf.d/filter.toml
systemctl start umbcmail-filter.service || fail "the filter"
for unit in $units; do
    pid=$(main $unit)
    systemctl reload $unit || fail "reload of $unit"
    await "another process of $unit" another $unit "$pid"
done
mail second
await "mail after the reload" arrived second
pid=$(main umbcmail.service)
echo 'nonsense = 1' >/etc/umbcmail/conf.d/wrong.toml
! systemctl reload umbcmail.service || fail "a mistake is taken"
[ "$(main umbcmail.service)" = "$pid" ] || fail "a mistake was loaded"
rm /etc/umbcmail/conf.d/wrong.toml
systemctl stop umbcmail.target || fail "stop"
for unit in $units; do
    await "$unit has ended" sh -c "[ \$(systemctl show -p ActiveState --value $unit) != deactivating ]"
    [ "$(systemctl show -p Result --value $unit)" = success ] || fail "$unit has not ended well"
done
echo ok
systemctl poweroff --force
