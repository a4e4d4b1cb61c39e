"""Whose data may be thrown away after a split brain: a rule, and never a guess."""

from __future__ import annotations

from collections.abc import Mapping

from lab.core.errors import LabError
from lab.core.parsers.drbd import DrbdDevice

#: DRBD 8.4's words, drivers/block/drbd/drbd_receiver.c (drbd_sync_handshake).
SPLIT_WORDS = "Split-Brain detected"


def parted(devices: Mapping[str, DrbdDevice | None]) -> bool:
    """Whether a side of DRBD has given up connecting, which it does after a split brain only (or when told to)."""
    return any(device is not None and device.connection == "StandAlone" for device in devices.values())


def idle_on_both(devices: Mapping[str, DrbdDevice | None]) -> bool:
    """Whether it is certain that neither side wrote anything since the parting: then nothing can be lost."""
    return all(device is not None and device.configured and device.out_of_sync_kib == 0 for device in devices.values())


def discarded(devices: Mapping[str, DrbdDevice | None], named: str) -> str:
    """The node whose changes since the parting are thrown away.

    Args:
        devices: per node, DRBD's device in its own eyes. A side that is alone counts in its bitmap what it has written
            since, as ``oos`` of /proc/drbd.
        named: the node that a person named; empty when nobody did.

    Raises:
        LabError: nobody named one and the rule decides nothing: both sides wrote, or one cannot be asked.
    """
    if named:
        if named not in devices:
            raise LabError(
                f"--discard {named} is not a node", remedy=f"Choose one of: {', '.join(devices)}", exit_code=2
            )
        return named
    details = [
        f"{name}: {'cannot be asked' if device is None else f'{device}, {device.out_of_sync_kib} KiB of its own'}"
        for name, device in devices.items()
    ]
    idle = [
        name
        for name, device in devices.items()
        if device is not None and device.configured and device.out_of_sync_kib == 0
    ]
    everybody_known = all(device is not None and device.configured for device in devices.values())
    if len(idle) != 1 or not everybody_known:
        raise LabError(
            "DRBD is split, and it is not certain that one side wrote nothing; nothing was thrown away",
            remedy=f"Say whose changes are lost: ./inv lab.heal --discard NODE, with one of {', '.join(devices)}",
            details=details,
        )
    return idle[0]
