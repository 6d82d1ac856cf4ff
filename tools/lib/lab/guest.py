"""The guest that tests and measurements of booting run: kernel and initrd."""

import os
import shutil
import struct
import subprocess

from . import initramfs as cpio
from . import packages

INIT = os.path.join(os.path.dirname(__file__), "..", "..", "..", "tests", "boot",
                    "guest", "init")


def make(out, folder, modules=(), programs=None):
    """Puts `vmlinuz` and `initrd` into the folder `out`; returns their paths.

    The initrd has busybox, tests/boot/guest/init, and `modules` with all that they
    need, which init loads; `programs` are files for its /bin, by name. `folder` is
    that of packages.get. It is not compressed: as small as it is, that would save
    nothing, see initramfs.py.
    """
    archive = cpio.Initramfs()
    for name in ("dev", "proc", "sys", "tmp"):
        archive.folder(name)
    archive.device("dev/console", 5, 1)
    archive.file("init", INIT)
    archive.program("bin/busybox", os.path.join(folder, "busybox"))
    archive.link("bin/sh", "busybox")
    for name, path in (programs or {}).items():
        archive.program(f"bin/{name}", path)
    for name, content in packages.numbered(packages.guest_modules(folder, modules)):
        archive.data(f"modules/{name}.ko", content)
    os.makedirs(out, exist_ok=True)
    kernel, initrd = (os.path.join(out, name) for name in ("vmlinuz", "initrd"))
    shutil.copyfile(os.path.join(folder, "vmlinuz"), kernel)
    with open(initrd, "wb") as file:
        archive.write(file)
    return kernel, initrd


def unpack_kernel(out, folder):
    """Writes the vmlinux that the kernel of `folder` has inside to the file `out`.

    The offsets are those of Linux's boot protocol; the payload is LZ4 with the
    length of what it holds behind it.
    """
    with open(os.path.join(folder, "vmlinuz"), "rb") as file:
        image = file.read()
    sectors = image[0x1F1] or 4
    offset, size = struct.unpack_from("<II", image, 0x248)
    start = (sectors + 1) * 512 + offset
    with open(out, "wb") as file:
        subprocess.run(("lz4", "-dc"), input=image[start:start + size - 4],
                       stdout=file, check=True)
