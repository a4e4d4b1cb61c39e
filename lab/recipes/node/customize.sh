#!/bin/sh
# Run by the bakery with the image's root directory as $1.
set -eu
root=$1

# The lab brings its own networks; libvirt's default one would claim an address of its own inside each node.
rm -f "$root/etc/libvirt/qemu/networks/autostart/default.xml"

# Networks come from cloud-init alone.
rm -f "$root"/etc/network/interfaces.d/*

# Every ssh command would otherwise start a login session with a service manager of its own, which costs seconds on an
# emulated CPU; nobody uses those sessions.
sed -i '/pam_systemd/d' "$root/etc/pam.d/common-session"

# OCFS2 is mounted beside another node only when that node has been seen alive; what is in front of its mount.ocfs2 says why.
mount_ocfs2=$(chroot "$root" dpkg -L ocfs2-tools | grep '/mount\.ocfs2$')
chroot "$root" dpkg-divert --quiet --local --rename --add --divert "$mount_ocfs2.distrib" "$mount_ocfs2"
ln -s /usr/local/lib/lab/mount.ocfs2 "$root$mount_ocfs2"
