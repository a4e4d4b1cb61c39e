#!/bin/sh
# Run by the bakery with the image's root directory as $1.
set -eu
root=$1

# Settings of modules that are not loaded.
for file in "$root"/etc/asterisk/*.conf; do
    case "${file##*/}" in
        asterisk.conf | modules.conf | sip.conf | extensions.conf | logger.conf | cdr.conf | rtp.conf) ;;
        *) rm -f "$file" ;;
    esac
done

# Asterisk reads its own documentation when it starts and will not start without that of its settings; the rest is
# four fifths of it, and a second of every start.
documentation=$root/usr/share/asterisk/documentation/core-en_US.xml
sed -i -n -e '1,/<docs/p' -e '/<configInfo /,/<\/configInfo>/p' -e '$p' "$documentation"
grep -q 'configInfo name="stasis"' "$documentation"
# Kept where people look for commands, too; sshd's path has no sbin in this suite.
ln -s ../sbin/asterisk "$root/usr/bin/asterisk"
