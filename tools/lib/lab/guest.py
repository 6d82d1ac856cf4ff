"""The guest that tests and measurements of booting run: kernel and initrd."""

import os
import shutil

from . import initramfs as cpio
from . import packages

INIT = os.path.join(os.path.dirname(__file__), "..", "..", "..", "tests", "boot",
                    "guest", "init")


def make(out, folder, modules=()):
    """Puts `vmlinuz` and `initrd` into the folder `out`; returns their paths.

    The initrd has busybox, tests/boot/guest/init, and `modules` with all that they
    need, which init loads. `folder` is that of packages.get. It is not
    compressed: as small as it is, that would save nothing, see initramfs.py.
    """
    archive = cpio.Initramfs()
    for name in ("dev", "proc", "sys", "tmp"):
        archive.folder(name)
    archive.device("dev/console", 5, 1)
    archive.file("init", INIT)
    archive.program("bin/busybox", os.path.join(folder, "busybox"))
    archive.link("bin/sh", "busybox")
    for name, content in packages.numbered(packages.guest_modules(folder, modules)):
        archive.data(f"modules/{name}.ko", content)
    os.makedirs(out, exist_ok=True)
    kernel, initrd = (os.path.join(out, name) for name in ("vmlinuz", "initrd"))
    shutil.copyfile(os.path.join(folder, "vmlinuz"), kernel)
    with open(initrd, "wb") as file:
        archive.write(file)
    return kernel, initrd
