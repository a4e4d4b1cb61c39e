"""What Vagrant needs of a lab beside its Vagrantfile: the box of a node image, and thin copies of read-only disks.

The plugin vagrant-libvirt looks for the volume of a box by its name in all pools of the host, so the name of a box has
the lab's name in it: the disks of one lab must not be based on a volume of another one, which goes away with it.
"""

from __future__ import annotations

import io
import json
import math
import tarfile
from dataclasses import dataclass
from xml.etree import ElementTree
from xml.sax.saxutils import escape

from lab.core.addressing import NICS, domain_name
from lab.core.model import Lab, LabImages, Node

#: A box without a version would be named after the minute it was unpacked, and complained about at each start.
BOX_VERSION = "1.0.0"
#: Names in ``build/<lab>``: boxes with their catalogues, and Vagrant's own folder instead of ``~/.vagrant.d``.
BOXES = "boxes"
HOME = "vagrant-home"
_BOOT_TIMEOUT_S = 240


@dataclass(frozen=True)
class ThinCopy:
    """A qcow2 volume that holds nothing yet and shows another file.

    Args:
        name: name of the volume.
        backing: path of the file that it shows.
        backing_format: ``raw`` or ``qcow2``.
    """

    name: str
    backing: str
    backing_format: str

    @property
    def xml(self) -> str:
        """The volume for libvirt, as large as what it shows."""
        return (
            f"<volume type='file'><name>{escape(self.name)}</name>"
            "<target><format type='qcow2'/><compat>1.1</compat></target>"
            f"<backingStore><path>{escape(self.backing)}</path><format type='{self.backing_format}'/></backingStore>"
            "</volume>"
        )


def boot_timeout_s(lab: Lab) -> int:
    """How long Vagrant waits for a node to answer ssh, seconds."""
    return math.ceil(_BOOT_TIMEOUT_S * lab.time_scale)


def image_stem(volume: str) -> str:
    """Name of a node image without its ending."""
    return volume.removesuffix(".qcow2")


def box_name(lab_name: str, volume: str) -> str:
    """Name of the box of a node image; a changed image has another name, so an older box is never taken for it."""
    return f"{lab_name}/{image_stem(volume)}"


def box_folder(name: str) -> str:
    """The folder of a box below ``boxes`` of Vagrant's home."""
    return name.replace("/", "-VAGRANTSLASH-")


def catalogue_path(volume: str) -> str:
    """Path of the catalogue of an image's box, below ``build/<lab>``."""
    return f"{BOXES}/{image_stem(volume)}.json"


def catalogue_text(name: str, box: str) -> str:
    """The document that gives a box a version.

    (Vagrant's documentation, "Box File Format", catalog metadata.)

    Args:
        name: name of the box.
        box: absolute path of the box file.
    """
    provider = {"name": "libvirt", "url": f"file://{box}"}
    versions = [{"version": BOX_VERSION, "providers": [provider]}]
    return json.dumps({"name": name, "versions": versions}, indent=2) + "\n"


def box_archive(image: bytes, size_bytes: int) -> bytes:
    """The box: a tar archive of the image and its description, the same bytes for the same image.

    (vagrant-libvirt's documentation, "Create Box", version 1 of the format.)

    Args:
        image: a qcow2 file.
        size_bytes: size of the disk that it holds.
    """
    about = {"provider": "libvirt", "format": "qcow2", "virtual_size": math.ceil(size_bytes / 2**30)}
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path, content in (("metadata.json", json.dumps(about).encode() + b"\n"), ("box.img", image)):
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return written.getvalue()


def thin_copies(node: Node, images: LabImages, pool_path: str) -> tuple[ThinCopy, ThinCopy]:
    """The store of guest images and the seed, as Vagrant's node sees them."""
    return (
        ThinCopy(f"{node.name}-gueststore.qcow2", f"{images.cache_pool_path}/{images.guest_store_volume}", "raw"),
        ThinCopy(f"{node.name}-seed.qcow2", f"{pool_path}/{node.name}-seed.iso", "raw"),
    )


def made_volumes(lab: Lab, node: Node) -> tuple[str, ...]:
    """Names of the volumes that Vagrant makes for a node, and does not forgive when they are there already."""
    return (f"{domain_name(lab.name, node.name)}.img", f"{node.name}-storage.qcow2")


def is_whole(definition: str) -> bool:
    """Whether a domain that Vagrant defines has all its network cards, which it attaches one by one afterwards.

    Args:
        definition: XML of the domain.
    """
    return len(ElementTree.fromstring(definition).findall("./devices/interface")) == len(NICS)
