"""The images of one lab: what they are called, which are missing, and making or fetching those."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab.core.model import ImageSource, Lab, LabImages
from lab.drivers import bakery, guest_store, image_source
from lab.drivers.image_cache import BakedImage

Report = Callable[[str, str], None]
Key = tuple[str, str, str]

CACHE_POOL = LabImages({}, {}, {}, "").cache_pool
CACHE_POOL_PATH = LabImages({}, {}, {}, "").cache_pool_path


def cache_folder() -> Path:
    """Where images are kept: ``$XDG_CACHE_HOME/ha-lab/images``, else ``~/.cache/ha-lab/images``."""
    root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "ha-lab" / "images"


def _key(image: ImageSource) -> Key:
    return (image.recipe, image.suite, image.sha256)


def _sources(lab: Lab) -> dict[Key, ImageSource]:
    images = [*(node.image for node in lab.nodes), *(guest.image for guest in lab.guests)]
    return {_key(image): image for image in images}


def _planned(image: ImageSource, cache: Path) -> BakedImage:
    if not image.recipe:
        stem = f"image-{image.sha256.lower()[:16]}"
        return BakedImage(stem, "", image.sha256, cache / f"{stem}.qcow2", None, None, cache / f"{stem}.json", cache)
    source = bakery.load_recipe(image.recipe, suite=image.suite)
    files = str(cache / source.stem)
    return BakedImage(
        name=source.recipe.name,
        suite=source.recipe.suite,
        key=source.key,
        root=Path(f"{files}.qcow2"),
        kernel=Path(f"{files}-vmlinuz"),
        initrd=Path(f"{files}-initrd"),
        manifest=Path(f"{files}.json"),
        log=cache / "logs" / f"{source.stem}.log",
    )


def planned_images(lab: Lab) -> LabImages:
    """Names of the images of a lab, computed from the recipes alone; nothing is baked or fetched."""
    cache = cache_folder()
    images = {key: _planned(source, cache) for key, source in _sources(lab).items()}
    nodes = {node.name: images[_key(node.image)] for node in lab.nodes}
    guests = [images[_key(guest.image)] for guest in lab.guests]
    return LabImages(
        node_volume={name: image.root.name for name, image in nodes.items()},
        kernel_volume={name: image.kernel.name if image.kernel else "" for name, image in nodes.items()},
        initrd_volume={name: image.initrd.name if image.initrd else "" for name, image in nodes.items()},
        guest_store_volume=guest_store.store_name(guests),
    )


def ensure_images(lab: Lab, *, report: Report = lambda _name, _step: None) -> list[BakedImage]:
    """All images of a lab and its guest store, out of the cache or made now, two at once.

    Args:
        lab: the lab.
        report: told about each step with the image's name, from several threads.

    Raises:
        LabError: an image cannot be made or fetched; with its last output and log.
    """
    cache = cache_folder()
    sources = _sources(lab)
    recipes = {
        key: bakery.load_recipe(image.recipe, suite=image.suite) for key, image in sources.items() if image.recipe
    }
    baked = dict(zip(recipes, bakery.bake_all(list(recipes.values()), cache, report=report), strict=True))
    with ThreadPoolExecutor(max_workers=2) as pool:
        fetched = {
            key: pool.submit(image_source.fetch, image, cache, report=lambda step: report("image", step))
            for key, image in sources.items()
            if not image.recipe
        }
        baked |= {key: future.result() for key, future in fetched.items()}
    guests = [baked[_key(guest.image)] for guest in lab.guests]
    # A lab without guests has a store too, an empty one: every node has the disk.
    guest_store.guest_store(guests, cache, report=lambda step: report("guest store", step))
    return list(baked.values())


def image_files(images: LabImages) -> dict[str, Path]:
    """Every file of the cache that the nodes of a lab need, by the name of its volume."""
    names = {
        *images.node_volume.values(),
        *images.kernel_volume.values(),
        *images.initrd_volume.values(),
        images.guest_store_volume,
    }
    return {name: cache_folder() / name for name in sorted(names) if name}
