from __future__ import annotations

import io
import json
import re
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import pytest

from lab.core import vagrant_plan
from lab.core.addressing import domain_name, domain_uuid, nic_of_tap, node_of_domain, tap_name
from lab.core.errors import LabError
from lab.drivers import vagrant_home
from lab.drivers.hypervisor import Hypervisor, OwnedDomain
from lab.workflows import vagrant_side
from lab.workflows.options import Options
from tests.golden.example import example_images, example_lab, rendered, switch_lab, unlike_lab

NODE_IMAGE = "node-bookworm-0123456789abcdef.qcow2"


class Owning:
    """A libvirt that has these nodes."""

    def __init__(self, *drivers: Any) -> None:
        self.domains = [OwnedDomain(f"lab-n{n}", "lab", f"n{n}", "off", one) for n, one in enumerate(drivers)]

    def owned_domains(self, _name: str) -> list[OwnedDomain]:
        return self.domains


def choose(driver: Any, *there: Any) -> str:
    return vagrant_side.chosen(Options(driver=driver), "lab", cast(Hypervisor, Owning(*there)))


@pytest.mark.parametrize(("lab_name", "node"), [("halab", "brina"), ("my-lab", "n-1"), ("a", "b-c-d")])
def test_a_domain_is_known_by_the_uuid_that_follows_from_its_name(lab_name: str, node: str) -> None:
    name, number = domain_name(lab_name, node), str(domain_uuid(lab_name, node))
    assert node_of_domain(name, number) == (lab_name, node)
    assert node_of_domain(name, number.upper()) == (lab_name, node)
    assert node_of_domain(f"x{name}", number) is None
    assert node_of_domain(name, str(domain_uuid("other", node))) is None
    assert node_of_domain("nohyphen", number) is None


def test_the_name_of_a_tap_tells_the_card() -> None:
    for nic in ("leg1", "leg2", "management"):
        assert nic_of_tap(tap_name("my-n1l1-lab", 2, nic)) == nic
    for other in ("", "vnet3", "halab-sw", "halab-n1l12", "halab-n1x"):
        assert nic_of_tap(other) == ""


def test_a_box_is_an_archive_that_says_what_it_holds() -> None:
    box = vagrant_plan.box_archive(b"QFI\xfb and so on", 8 * 2**30 - 1)
    assert box == vagrant_plan.box_archive(b"QFI\xfb and so on", 8 * 2**30 - 1)
    with tarfile.open(fileobj=io.BytesIO(box)) as archive:
        assert archive.getnames() == ["metadata.json", "box.img"]
        about, image = (cast(Any, archive.extractfile(name)).read() for name in archive.getnames())
    assert json.loads(about) == {"provider": "libvirt", "format": "qcow2", "virtual_size": 8}
    assert image == b"QFI\xfb and so on"


def test_the_catalogue_names_the_box_that_the_vagrantfile_wants() -> None:
    lab = example_lab()
    name = vagrant_plan.box_name(lab.name, NODE_IMAGE)
    text = rendered(lab)["Vagrantfile"].decode()
    assert f'node.vm.box = "{name}"' in text
    assert f'node.vm.box_url = here("{vagrant_plan.catalogue_path(NODE_IMAGE)}")' in text
    document = json.loads(vagrant_plan.catalogue_text(name, "/build/x.box"))
    assert document["name"] == name
    ((version,),) = (document["versions"],)
    assert version["providers"] == [{"name": "libvirt", "url": "file:///build/x.box"}]


def test_boxes_of_two_labs_never_share_a_volume() -> None:
    """The plugin looks for a box's volume by its name in all pools."""
    assert vagrant_plan.box_name("one", NODE_IMAGE) != vagrant_plan.box_name("two", NODE_IMAGE)
    assert vagrant_plan.box_folder("one/image") == "one-VAGRANTSLASH-image"


def test_thin_copies_show_seed_and_guest_store_and_are_named_in_the_vagrantfile() -> None:
    lab = example_lab()
    text = rendered(lab)["Vagrantfile"].decode()
    for node in lab.nodes:
        store, seed = vagrant_plan.thin_copies(node, example_images(lab), "/pool/<&>")
        for thin in (store, seed):
            assert f'path: "{thin.name}", type: "qcow2"' in text
            volume = ElementTree.fromstring(thin.xml)
            assert volume.findtext("name") == thin.name
            assert volume.findtext("backingStore/path") == thin.backing
        assert store.backing.endswith("/guest-store-0123456789abcdef.tar")
        assert seed.backing == f"/pool/<&>/{node.name}-seed.iso"
        for volume_name in vagrant_plan.made_volumes(lab, node)[1:]:
            assert f'path: "{volume_name}", size:' in text


def test_nothing_in_the_vagrantfile_can_be_written_raw() -> None:
    """QEMU saves no machine that may write to a raw disk."""
    for lab in (example_lab(), unlike_lab()):
        disks = [line for line in rendered(lab)["Vagrantfile"].decode().splitlines() if "libvirt.storage :file" in line]
        assert len(disks) == 3 * len(lab.nodes)
        assert all('type: "qcow2"' in line for line in disks)


def test_network_cards_come_in_the_order_of_the_direct_driver() -> None:
    """Vagrant attaches its management network first; the kernel numbers cards by their place on the bus."""
    tree = rendered(example_lab())
    text = tree["Vagrantfile"].decode()
    for node in example_lab().nodes:
        domain = ElementTree.fromstring(tree[f"libvirt/domains/{node.name}.xml"])
        for interface in domain.iterfind("./devices/interface"):
            mac, address = (interface.find(what) for what in ("mac", "address"))
            assert mac is not None and address is not None
            slot = re.search(rf'mac(?:: | = )"{mac.get("address")}".*?slot(?:: | = )"(\w+)"', text, re.DOTALL)
            assert slot and slot.group(1) == address.get("slot")


def test_a_domain_without_all_its_cards_is_not_whole() -> None:
    three = rendered(example_lab())["libvirt/domains/brina.xml"].decode()
    assert vagrant_plan.is_whole(three)
    two = three.replace("<interface ", "<controller ", 1).replace("</interface>", "</controller>", 1)
    assert not vagrant_plan.is_whole(two)


def test_who_has_made_the_nodes_goes_on_with_them() -> None:
    assert (
        choose("") == choose("libvirt") == choose("", "libvirt") == choose("libvirt", "libvirt", "libvirt") == "libvirt"
    )
    assert choose("vagrant") == choose("", "vagrant") == choose("vagrant", "vagrant") == "vagrant"
    for wanted, there in (("vagrant", "libvirt"), ("libvirt", "vagrant")):
        with pytest.raises(LabError, match=f"were made with --driver {there}") as caught:
            choose(wanted, there)
        assert caught.value.exit_code == 2
        assert "lab.down --name lab" in caught.value.remedy


def test_open_vswitch_is_refused_before_vagrant_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"cannot plug nodes into network\.switch openvswitch") as caught:
        vagrant_side.require(switch_lab(), Options(build=tmp_path))
    assert caught.value.exit_code == 2
    assert "switch: bridge" in caught.value.remedy
    assert list(tmp_path.iterdir()) == []


def test_vagrant_that_is_missing_is_named_with_what_installs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(LabError, match="Vagrant is not installed") as caught:
        vagrant_side.require(replace(example_lab(), name="nobody"), Options(build=tmp_path / "build"))
    assert "apt-get install --no-install-recommends vagrant vagrant-libvirt" in caught.value.remedy
    assert not (tmp_path / "build").exists()


def test_only_boxes_of_the_lab_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, folder = tmp_path / "home", tmp_path / "build" / "halab"
    monkeypatch.setenv("VAGRANT_HOME", str(home))
    assert vagrant_home.forget_boxes(folder) == []
    places = {
        "halab-VAGRANTSLASH-node": f"file://{folder}/boxes/node.json",
        "halab2-VAGRANTSLASH-node": f"file://{folder}2/boxes/node.json",
        "generic-VAGRANTSLASH-debian12": "https://example.org/generic/debian12",
    }
    for name, url in places.items():
        (home / "boxes" / name / "1.0.0").mkdir(parents=True)
        (home / "boxes" / name / "metadata_url").write_text(url)
    (home / "boxes" / "without-note").mkdir()
    assert vagrant_home.forget_boxes(folder) == ["halab-VAGRANTSLASH-node"]
    left = sorted(path.name for path in (home / "boxes").iterdir())
    assert left == ["generic-VAGRANTSLASH-debian12", "halab2-VAGRANTSLASH-node", "without-note"]
