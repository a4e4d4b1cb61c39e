"""The tasks around Vagrant, for ``tasks.py``."""

from __future__ import annotations

from typing import Any

from invoke.context import Context

from lab import surface
from lab.help_option import task
from lab.practice import COMMON, DEFAULT, JSON, finish
from lab.practice_tests import ONLY, run_pytest, with_libvirt


@task(help={**COMMON, **JSON, "accel": "kvm, tcg or auto, as for lab.up"})
def box(_context: Context, topology: str = DEFAULT, name: str = "", accel: str = "auto", *, json: bool = False) -> None:
    """Prepare a plain `vagrant up` in build/<lab>: box of the baked node image, networks, disks; nothing is downloaded.

    lab.up --driver vagrant does so by itself. Example: ./inv lab.box -t smoke
    """
    finish(surface.carry_out("box", topology=topology, name=name, accel=accel, as_json=json))


@task(name="vagrant", help=ONLY)
def vagrant_lab(context: Context, only: str = "") -> None:
    """A small lab by libvirt and the same by Vagrant, timed, drilled, removed; all tests have a shorter one.

    Example: ./inv test.vagrant
    """
    with_libvirt(lambda: run_pytest(context, ["tests/vagrant"], only, "-s"))


TASKS: tuple[Any, ...] = (box,)
TESTS: tuple[Any, ...] = (vagrant_lab,)
