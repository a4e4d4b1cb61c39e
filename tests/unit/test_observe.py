"""One look at a node, taken apart: complete ones, poor ones, and anything else."""

from __future__ import annotations

from pathlib import Path

from hypothesis import example, given
from hypothesis import strategies as st

from lab.workflows.observe import MARK, SECTIONS, node_facts

RECORDED = Path(__file__).parent / "recorded"
DRBD = """version: 8.4.11 (api:1/proto:86-101)
srcversion: 9C2F8B7A3D51E4F60A8B1C2
 0: cs:Connected ro:Primary/Primary ds:UpToDate/UpToDate C r-----
    ns:0 nr:0 dw:0 dr:912 al:0 bm:0 lo:0 pe:0 ua:0 ap:0 ep:1 wo:f oos:0
"""
PARTS = {
    "boot_id": "5f0e4a3c-7d52-4f2f-8b1a-0c9d8e7f6a5b\n",
    "uptime": "123.45\n",
    "drbd": DRBD,
    "mount": "/dev/drbd0 ocfs2  rw,noatime\n",
    "guests": "soldi\npassata\n\n",
    "cluster": (RECORDED / "crm_mon-healthy.xml").read_text(),
}


def look(**parts: str) -> str:
    return "".join(f"{MARK}{name}\n{text}" for name, text in {**PARTS, **parts}.items())


def test_every_section_is_asked_for_and_read() -> None:
    assert list(SECTIONS) == list(PARTS)
    facts = node_facts("a banner before\n" + look())
    assert facts.boot_id == "5f0e4a3c-7d52-4f2f-8b1a-0c9d8e7f6a5b"
    assert facts.uptime_s == 123.45
    assert facts.drbd is not None
    assert facts.drbd.device(0).dual_primary
    assert facts.mount == "/dev/drbd0 ocfs2  rw,noatime"
    assert facts.running_guests == ("passata", "soldi")
    assert facts.cluster is not None
    assert facts.cluster.online == ("brina", "piova")


def test_what_is_not_there_yet_is_none_or_empty() -> None:
    facts = node_facts(look(drbd="", mount="", guests="", cluster=(RECORDED / "crm_mon-down.xml").read_text()))
    assert (facts.drbd, facts.mount, facts.running_guests, facts.cluster) == (None, "", (), None)
    assert facts.uptime_s == 123.45


def test_a_look_that_was_cut_off_counts_as_far_as_it_came() -> None:
    text = look()
    facts = node_facts(text[: text.index(f"{MARK}mount")])
    assert facts.drbd is not None
    assert (facts.mount, facts.cluster) == ("", None)


@given(st.dictionaries(st.sampled_from(sorted(PARTS)), st.text(max_size=60)))
@example({"uptime": "12 34"})
@example({"uptime": "nan"})
def test_no_output_breaks_it(parts: dict[str, str]) -> None:
    facts = node_facts(look(**parts))
    assert 0 <= facts.uptime_s < 10**61
    assert all(facts.running_guests)
