"""Baking the images of a lab, as a verb of its own and as the first part of bringing a lab up."""

from __future__ import annotations

import threading
from contextlib import ExitStack

from lab.core.model import Lab
from lab.core.outcome import Outcome
from lab.doors.progress import Reporter, open_reporter
from lab.drivers.image_cache import BakedImage
from lab.drivers.lab_images import cache_folder, ensure_images
from lab.workflows.options import Options, load_lab


def bake_lab(lab: Lab, reporter: Reporter) -> list[BakedImage]:
    """All images of a lab, made where they are missing; each step is reported with the image's name."""
    lock = threading.Lock()
    open_steps: dict[str, ExitStack] = {}

    def report(image: str, step: str) -> None:
        # A step lasts until the image's next one; the bakery says only what begins.
        with lock:
            if image in open_steps:
                open_steps.pop(image).close()
            stack = ExitStack()
            stack.enter_context(reporter.step(step, node=image))
            open_steps[image] = stack

    with reporter.step("images"):
        try:
            return ensure_images(lab, report=report)
        finally:
            for stack in open_steps.values():
                stack.close()


def bake_all(options: Options) -> Outcome:
    """Build the images that the lab needs, unless the cache has them.

    Raises:
        LabError: an image cannot be made; with its last output and the path of its log.
    """
    lab = load_lab(options)
    reporter = open_reporter(options.build, lab.name, "bake")
    try:
        images = bake_lab(lab, reporter)
    finally:
        reporter.close()
    rows = [
        {
            "name": image.name,
            "suite": image.suite,
            "size_mib": image.root.stat().st_size // 2**20,
            "cached": image.cached,
            "image": str(image.root),
            "manifest": str(image.manifest),
        }
        for image in images
    ]
    lines = [
        f"{row['name']:<18} {row['suite']:<10} {row['size_mib']:>5} MiB  {'cached' if row['cached'] else 'baked now'}"
        for row in rows
    ]
    return Outcome("\n".join([*lines, f"The images are in {cache_folder()}."]), {"images": rows})
