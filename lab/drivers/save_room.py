"""Room in the disks of running nodes for the memory of their next save, made before they are paused.

QEMU writes a node's memory behind the end of its first disk (qcow2's "VM state"), 128 KiB at a time, one after the
other. The first write to a cluster costs much more than a second one: a place has to be found for it, the host has to
find memory for it, and where the node was loaded from a save, the place is still that save's, so the rest of the
cluster is copied and three tables are written each time. All of that can be done while the node runs.
"""

from __future__ import annotations

import json
from typing import Any

import libvirt
import libvirt_qemu

#: Written at once, KiB. QEMU answers no device of the node meanwhile: some 10 to 50 ms.
CHUNK_KIB = 8192


def make_room(handle: Any, chunk_kib: int = CHUNK_KIB) -> int:
    """Have a running domain write as much to where its memory goes as its largest save has there.

    It is a courtesy: without room, or with too little of it, a save is the same and takes longer.

    Args:
        handle: libvirt's domain.
        chunk_kib: written at once; a multiple of 64, the size of the disk's clusters.

    Returns:
        KiB of room; 0 for a domain without a save, and where QEMU does not do it.
    """
    room_kib = 0
    try:
        device, wanted_kib = _place(_asked(handle, "query-block"))
        while room_kib + chunk_kib <= wanted_kib:
            # qemu-io(1), "write -b": to the place of the saved memory instead of to the disk.
            line = f'qemu-io -d {device} "write -b -q -P 0 {room_kib}k {chunk_kib}k"'
            if _asked(handle, "human-monitor-command", {"command-line": line}).strip():
                break
            room_kib += chunk_kib
    except (libvirt.libvirtError, ValueError, KeyError, TypeError):
        # Another monitor than that of the QEMU this was written for, or a domain that has just ended.
        return room_kib
    return room_kib


def _asked(handle: Any, command: str, arguments: dict[str, str] | None = None) -> Any:
    """What QEMU's monitor returns to a command (qemu-qmp-ref(7))."""
    document = json.dumps({"execute": command, **({"arguments": arguments} if arguments else {})})
    return json.loads(libvirt_qemu.qemuMonitorCommand(handle, document, 0))["return"]


def _place(blocks: list[dict[str, Any]]) -> tuple[str, int]:
    """The device of the disk that holds saved memory, and the size of the largest, KiB; 0 when none does."""
    sizes = [
        (snapshot["vm-state-size"] // 1024, block.get("qdev", ""))
        for block in blocks
        for snapshot in block.get("inserted", {}).get("image", {}).get("snapshots", [])
    ]
    size_kib, device = max(sizes, default=(0, ""))
    return device, size_kib
