"""One model, many renderings: everything that a lab is made of, as bytes by path.

Pure: the same lab, secrets, images and templates give the same bytes, whenever and wherever.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lab.core.model import Lab, LabImages, Secrets
from lab.core.render.engine import Engine
from lab.core.render.facts import Values, lab_facts, lab_values, name_servers
from lab.core.render.guest_seed import seed_tar
from lab.core.render.guests import guest_template_values
from lab.core.render.node_files import node_files, seed_templates

MakeIso = Callable[[Mapping[str, bytes]], bytes]

#: Endings of rendered paths that hold secrets; a writer gives those files mode 0600.
SECRET_ENDINGS = ("/user-data", "/seed.iso", "/seed.tar", "/etc/drbd.d/vms.res")

#: Rendered path to template, for what is rendered once per lab.
LAB_FILES = {
    "Vagrantfile": "Vagrantfile.j2",
    "cluster/cib.crm": "cluster/cib.crm.j2",
    "fence_virt.conf": "host/fence_virt.conf.j2",
    "known_hosts": "host/known_hosts.j2",
    "libvirt/networks/management.xml": "host/libvirt/network-management.xml.j2",
    "libvirt/networks/service.xml": "host/libvirt/network-service.xml.j2",
    "libvirt/pool.xml": "host/libvirt/pool.xml.j2",
    "ssh_config": "host/ssh_config.j2",
}


def is_secret(path: str) -> bool:
    """Whether a rendered path holds secrets, so that nobody else on the host may read it."""
    return ("/" + path).endswith(SECRET_ENDINGS)


def render_lab(
    lab: Lab,
    secrets: Secrets,
    images: LabImages,
    templates: Mapping[str, str],
    *,
    make_iso: MakeIso,
    directory: str = "",
) -> dict[str, bytes]:
    """The complete tree of a lab.

    Args:
        lab: the model.
        secrets: random values, made once per lab.
        images: names of the baked images.
        templates: path below the repository's root to text (:func:`lab.doors.templates.load_templates`).
        make_iso: makes a NoCloud seed of files (:func:`lab.drivers.seed.make_iso`).
        directory: where the tree is going to lie, for the few files that name others in it (``ssh_config``,
            ``fence_virt.conf``); ``build/<lab>`` when empty, so relative to the repository's root.

    Returns:
        Bytes by path below the tree, sorted.

    Raises:
        LabError: a template is missing or names an unknown value.
        InputError: a table of file modes is wrong.
    """
    engine = Engine(templates)
    values = lab_values(lab, secrets, images) | {"directory": directory or f"build/{lab.name}"}
    tree: dict[str, bytes] = {path: engine.text(template, values).encode() for path, template in LAB_FILES.items()}
    for node in lab.nodes:
        own = next(item for item in values["nodes"] if item["name"] == node.name)
        node_scope = values | {
            "node": own,
            "lab_facts": lab_facts(lab, node),
            "name_servers": name_servers(lab),
        }
        tree |= _node_tree(engine, node_scope, make_iso)
    for guest in lab.guests:
        own = next(item for item in values["guests"] if item["domain"] == guest.domain)
        scope = values | {"guest": own}
        folder = f"guests/{guest.domain}"
        tree[f"{folder}/domain.xml"] = engine.text("cloudinit/nodes/etc/libvirt/qemu/{guest}.xml.j2", scope).encode()
        tree[f"{folder}/seed.tar"] = seed_tar(engine, guest_template_values(lab, guest, secrets), guest.service)
    return dict(sorted(tree.items()))


def _node_tree(engine: Engine, values: Values, make_iso: MakeIso) -> dict[str, bytes]:
    name = values["node"]["name"]
    files = node_files(engine, values)
    scope = values | {"files": [file.entry() for file in files]}
    templates = seed_templates(engine, values["software"])
    seed = {part: engine.text(template, scope).encode() for part, template in templates.items()}
    tree = {f"nodes/{name}/{part}": content for part, content in seed.items()}
    tree |= {f"nodes/{name}/files/{file.path}": file.content for file in files if not file.mode.secret}
    tree[f"nodes/{name}/seed.iso"] = make_iso(seed)
    size = {"node": values["node"] | {"seed_bytes": len(tree[f"nodes/{name}/seed.iso"])}}
    for part in ("system", "storage", "seed"):
        template = f"host/libvirt/volume-{part}.xml.j2"
        tree[f"libvirt/volumes/{name}-{part}.xml"] = engine.text(template, values | size).encode()
    tree[f"libvirt/domains/{name}.xml"] = engine.text("host/libvirt/domain.xml.j2", values).encode()
    return tree


__all__ = ["MakeIso", "is_secret", "render_lab"]
