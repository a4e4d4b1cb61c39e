"""The parser of /proc/drbd on that of a running lab (see recorded/README.md) and on ones written after drbd_proc.c."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.core.errors import LabError
from lab.core.parsers.drbd import DrbdDevice, DrbdProgress, parse_connection_states, parse_proc_drbd, parse_states

HEAD = "version: 8.4.11 (api:1/proto:86-101)\nsrcversion: 0123456789ABCDEF0123456 \n"
COUNTERS = "    ns:8 nr:4 dw:12 dr:912 al:8 bm:0 lo:0 pe:{pe} ua:0 ap:0 ep:1 wo:f oos:{oos}\n"
HEALTHY = HEAD + " 0: cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate C r-----\n" + COUNTERS.format(pe=0, oos=0)
ALONE = (
    HEAD + " 0: cs:WFConnection ro:Primary/Unknown ds:UpToDate/DUnknown C s-----\n" + COUNTERS.format(pe=3, oos=4096)
)
SYNCING = (
    HEAD
    + " 0: cs:SyncTarget ro:Primary/Primary ds:Inconsistent/UpToDate C r-----\n"
    + COUNTERS.format(pe=2, oos=1684480)
    + "\t[===>................] sync'ed: 22.4% (1645/2119)M\n"
    + "\tfinish: 1:00:46 speed: 35,768 (1,035,768) want: 40,960 K/sec\n"
)


def test_the_device_of_a_running_lab() -> None:
    status = parse_proc_drbd((Path(__file__).parent / "recorded" / "lab-proc-drbd.txt").read_text())
    assert status.version == "8.4.11"
    assert status.devices == (DrbdDevice(0, "Connected", "Primary", "Primary", "UpToDate", "UpToDate", "C"),)
    assert status.device(0).dual_primary


def test_both_sides_primary_and_up_to_date() -> None:
    status = parse_proc_drbd(HEALTHY)
    assert status.version == "8.4.11"
    device = status.device(0)
    assert device == DrbdDevice(0, "Connected", "Primary", "Primary", "UpToDate", "UpToDate", "C")
    assert device.dual_primary and device.configured
    assert str(device) == "Connected Primary/Primary UpToDate/UpToDate"


def test_alone_with_frozen_requests() -> None:
    device = parse_proc_drbd(ALONE).device(0)
    assert (device.connection, device.peer_role, device.peer_disk) == ("WFConnection", "Unknown", "DUnknown")
    assert (device.suspended, device.pending, device.out_of_sync_kib) == (True, 3, 4096)
    assert not device.dual_primary


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Connected", "StandAlone"),
        ("Primary/Primary", "Primary/Secondary"),
        ("Primary/Primary", "Secondary/Primary"),
        ("UpToDate/UpToDate", "UpToDate/Inconsistent"),
        ("UpToDate/UpToDate", "Outdated/UpToDate"),
        ("r-----", "s-----"),
    ],
)
def test_anything_less_is_not_dual_primary(old: str, new: str) -> None:
    assert not parse_proc_drbd(HEALTHY.replace(old, new)).device(0).dual_primary


def test_a_resynchronisation_is_followed() -> None:
    device = parse_proc_drbd(SYNCING).device(0)
    assert device.progress == DrbdProgress(False, 22.4, 1645 * 1024, 2119 * 1024, 3646, 35768)
    assert device.out_of_sync_kib == 1684480


def test_a_verification_of_a_small_device_that_stands_still() -> None:
    text = SYNCING.replace("sync'ed: 22.4% (1645/2119)M", "verified:  0.5% (1645/2119)K").replace(
        "K/sec", "K/sec (stalled)"
    )
    progress = parse_proc_drbd(text).device(0).progress
    assert progress == DrbdProgress(True, 0.5, 1645, 2119, 3646, 35768, stalled=True)


def test_a_device_that_is_down_one_without_network_and_a_gap() -> None:
    text = (
        HEAD
        + " 0: cs:Unconfigured\n\n"
        + " 2: cs:StandAlone ro:Secondary/Unknown ds:Inconsistent/DUnknown   r-----\n"
        + COUNTERS.format(pe=0, oos=7)
    )
    down, alone = parse_proc_drbd(text).devices
    assert (down.configured, str(down)) == (False, "Unconfigured")
    assert (alone.minor, alone.protocol, alone.out_of_sync_kib) == (2, "", 7)
    assert not parse_proc_drbd(text).device(1).configured


def test_a_loaded_module_without_devices() -> None:
    assert parse_proc_drbd(HEAD).devices == ()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no version of DRBD 8 in 'an empty file'"),
        ("version: 9.2.8 (api:2/proto:118-122)\n", "no version of DRBD 8"),
        (HEAD + " 0: cs:Connected\n", "is not the state of a device"),
        (HEAD + " 0: cs:Connected ro:Primary ds:UpToDate/UpToDate C r-----\n", "is not the state of a device"),
        (HEALTHY.replace(" oos:0", ""), "no counters"),
        ("\n".join(HEALTHY.splitlines()[:3]), "no counters"),
    ],
)
def test_what_cannot_be_read_is_named(text: str, fault: str) -> None:
    with pytest.raises(LabError) as caught:
        parse_proc_drbd(text)
    assert fault in caught.value.message


WORDS = st.from_regex(r"[A-Z][A-Za-z]{1,12}", fullmatch=True)
NUMBERS = st.integers(0, 2**40)


@given(WORDS, WORDS, WORDS, WORDS, WORDS, st.sampled_from("ABC "), st.integers(0, 254), NUMBERS, st.sampled_from("rs"))
def test_whatever_the_kernel_prints_comes_back(
    connection: str, role: str, peer: str, disk: str, remote: str, protocol: str, minor: int, oos: int, frozen: str
) -> None:
    text = (
        HEAD
        + f"{minor:2d}: cs:{connection} ro:{role}/{peer} ds:{disk}/{remote} {protocol} {frozen}a-u--\n"
        + COUNTERS.format(pe=oos % 7, oos=oos)
    )
    assert parse_proc_drbd(text).devices == (
        DrbdDevice(minor, connection, role, peer, disk, remote, protocol.strip(), frozen == "s", oos, oos % 7),
    )


@given(st.text())
def test_no_text_breaks_the_parser_otherwise_than_with_its_own_error(text: str) -> None:
    for parse in (parse_proc_drbd, parse_states, parse_connection_states, lambda rest: parse_proc_drbd(HEAD + rest)):
        try:
            parse(text)
        except LabError:
            continue


def test_the_short_answers_of_drbdadm() -> None:
    assert parse_states("UpToDate/UpToDate\nInconsistent/DUnknown\n") == (
        ("UpToDate", "UpToDate"),
        ("Inconsistent", "DUnknown"),
    )
    assert parse_states("Unconfigured\n") == (("Unconfigured", ""),)
    assert parse_connection_states("Connected\n") == ("Connected",)


@pytest.mark.parametrize("text", ["", "\n", "UpToDate", "a/b/c", "no resources defined!"])
def test_other_answers_of_drbdadm_are_refused(text: str) -> None:
    with pytest.raises(LabError, match="drbdadm"):
        parse_states(text)


@pytest.mark.parametrize("text", ["", "Primary/Primary", "no resources defined!"])
def test_another_connection_state_is_refused(text: str) -> None:
    with pytest.raises(LabError, match="drbdadm"):
        parse_connection_states(text)
