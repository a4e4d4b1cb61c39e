#!/bin/sh
# Run by the bakery with the image's root directory as $1; the same for all guests.
set -eu
root=$1

# Each daemon is a script of /etc/lab/services that runs in the foreground; init starts it again when it ends.
{
    echo "::sysinit:/etc/lab/boot"
    for script in "$root"/etc/lab/services/*; do
        echo "::respawn:/etc/lab/services/${script##*/}"
    done
    echo "ttyS0::askfirst:/etc/lab/console"
    echo "::shutdown:/etc/lab/shutdown"
    echo "::ctrlaltdel:/bin/busybox reboot"
} > "$root/etc/inittab"

# A service whose applet this busybox does not have would be started again and again, and nobody would see it.
chroot "$root" /bin/busybox --list | sort > "$root/tmp/applets"
missing=$(grep -hoE 'busybox [a-z][a-z0-9_]*' -r "$root/etc/lab" "$root/etc/acpi" | cut -d ' ' -f 2 | sort -u |
    comm -23 - "$root/tmp/applets" | tr '\n' ' ')
rm "$root/tmp/applets"
if [ -n "$missing" ]; then
    echo "customize: scripts in /etc/lab or /etc/acpi use applets that busybox does not have: $missing" >&2
    exit 1
fi

# Made here, because links in a checkout do not survive every way of copying one, and a guest without init panics.
for name in halt init poweroff reboot; do
    ln -sf /bin/busybox "$root/sbin/$name"
done

mkdir -p "$root/root/.ssh"
chmod 700 "$root/root/.ssh"
rm -f "$root/etc/dropbear"/dropbear_*_host_key
# There are no accounts but those of daemons, and no jobs by the clock.
rm -rf "$root/etc/cron.daily" "$root/etc/cron.d" "$root/etc/cron.weekly"

# Tools for whoever looks around, where Debian's own are not installed.
for applet in $(chroot "$root" busybox --list); do
    [ -e "$root/usr/bin/$applet" ] || [ -e "$root/usr/sbin/$applet" ] || [ -L "$root/usr/sbin/$applet" ] ||
        ln -s /bin/busybox "$root/usr/bin/$applet"
done
