#!/bin/sh
# Run by the bakery with the image's root directory as $1.
set -eu
root=$1

# Tables of FreeRADIUS's own schema. With a write-ahead log a commit costs one flush of the disk instead of three.
install -d "$root/var/lib/freeradius"
{
    echo "PRAGMA journal_mode=WAL;"
    cat "$root/etc/freeradius/3.0/mods-config/sql/main/sqlite/schema.sql"
} | chroot "$root" sqlite3 /var/lib/freeradius/radius.db > /dev/null
chroot "$root" chown -R freerad:freerad /var/lib/freeradius
# The certificates are for methods that are not served.
rm -rf "$root/etc/freeradius/3.0/certs" "$root/etc/freeradius/3.0/mods-enabled" "$root/etc/freeradius/3.0/sites-enabled"
