#!/bin/sh
# Run by the bakery with the image's root directory as $1.
set -eu
root=$1

# An ordinary user, in no group but that of sudo; as on the images of clouds and hosted runners, sudo asks for no password.
chroot "$root" useradd --create-home --shell /bin/bash --groups sudo ada
printf '%%sudo ALL=(ALL:ALL) NOPASSWD: ALL\n' > "$root/etc/sudoers.d/workstation"
chmod 0440 "$root/etc/sudoers.d/workstation"
