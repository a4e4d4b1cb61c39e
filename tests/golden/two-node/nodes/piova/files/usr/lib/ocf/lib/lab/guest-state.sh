# What libvirt's notes and the kernel say of a guest, without asking libvirt. Read by ocf:lab:VirtualDomain and its virsh.

PROCESSES=${LAB_QEMU_PROCESSES:-/run/libvirt/qemu}
PROC=${LAB_PROC:-/proc}

# Whether libvirt's process number of a domain is that of a QEMU process that has not ended (proc(5), "stat").
qemu_runs() {
    process=
    # The file has no newline at its end, so read is not content though it has read everything.
    read -r process <"$PROCESSES/$1.pid" || [ -n "$process" ] || return 1
    read -r _ command state _ <"$PROC/$process/stat" || return 1
    case $command-$state in
    "(qemu"*-[ZX]) return 1 ;;
    "(qemu"*) return 0 ;;
    *) return 1 ;;
    esac
}

# Whether libvirt itself counts a domain as gone: it keeps a note of its state as long as it is active, and of its process.
# A folder that is not there is that of a libvirt which has not run since the node booted, and says nothing.
is_unknown_to_libvirt() {
    [ -d "$PROCESSES" ] && [ ! -e "$PROCESSES/$1.pid" ] && [ ! -e "$PROCESSES/$1.xml" ]
}

# Whether libvirt started a domain, or took it in, less than so many milliseconds ago, in whole minutes.
is_new() {
    [ -n "$(find "$PROCESSES/$1.pid" -mmin "-$((($2 + 59999) / 60000))" 2>/dev/null)" ]
}
