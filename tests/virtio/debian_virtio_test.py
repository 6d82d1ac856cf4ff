#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs Debian on virtio devices inside the lab; debian_virtio.cc has the cases."""

import os
import shutil
import sys
import tempfile

sys.path.insert(0, "tests")
from repository import root  # noqa: E402

sys.path.insert(0, os.path.join(root(), "tools", "lib"))
import stock_kvm_lab  # noqa: E402
from lab import guest, jobs, packages, report, session  # noqa: E402

LIMIT_SECONDS = 1500
# Programs one after the other, each with some of the cases, so that a machine that
# stands still (tests/lab/README.md) takes few of them with it.
PARTS = 9
MODULES = ("evdev", "virtio_balloon", "virtio_blk", "virtio_console",
           "virtio_input", "virtio_mmio", "virtio_net", "virtio_pci", "virtio-rng",
           "virtiofs", "vmw_vsock_virtio_transport")
GUEST_SCRIPTS = ("balloon_wait", "console_say", "input_work", "net_up", "rebind",
                 "rng_read", "root_work", "share_work", "sync_checker", "sync_writer")
# Beside what this repository makes.
HOST_PROGRAMS = ("e2fsck", "mke2fs")


def guest_programs():
    folder = os.path.join(root(), "tests", "virtio", "guest")
    programs = {name: os.path.join(folder, name) for name in GUEST_SCRIPTS}
    programs.update((name, os.path.abspath(f"tests/virtio/{name}"))
                    for name in ("block_load", "stream"))
    return programs


def make_root(out, folder):
    """What a guest's root file system on a disk holds."""
    for name in ("bin", "dev", "mnt", "newroot", "proc", "sys", "tmp"):
        os.makedirs(os.path.join(out, name))
    shutil.copy(os.path.join(folder, "busybox"), os.path.join(out, "bin", "busybox"))
    shutil.copy(os.path.join(folder, "busybox"), os.path.join(out, "bin", "sh"))
    shutil.copy(guest.INIT, os.path.join(out, "init"))
    shutil.copy(guest_programs()["root_work"], os.path.join(out, "bin", "root_work"))


def host_program(name):
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise packages.Unavailable(f"{name} is missing: it is in Debian's e2fsprogs")
    return path


def make_job(part):
    job = jobs.from_file("tests/virtio/debian_virtio", LIMIT_SECONDS)
    job.environment = {"LIBVMM_VIRTIO_LAB": f"/{jobs.WORK}/virtio",
                       "GTEST_TOTAL_SHARDS": str(PARTS),
                       "GTEST_SHARD_INDEX": str(part)}
    job.arguments += sys.argv[1:]
    if "LIBVMM_VIRTIO_ALL" in os.environ:
        job.environment["LIBVMM_VIRTIO_ALL"] = "1"
        job.limit *= 4
    inside = f"/{jobs.WORK}/virtio"
    job.files.update({f"{inside}/vmm": os.path.abspath("examples/vmm/vmm"),
                      f"{inside}/user_net": os.path.abspath("examples/vmm/user_net"),
                      f"{inside}/stream": os.path.abspath("tests/virtio/stream"),
                      f"{inside}/tap_up": os.path.abspath("tests/virtio/tap_up")})
    job.files.update((f"{inside}/{name}", host_program(name)) for name in HOST_PROGRAMS)
    return job


def main():
    xml_path = os.environ.get("XML_OUTPUT_FILE", os.devnull)
    try:
        folder = packages.get(stock_kvm_lab.say, modules=MODULES)
        listed = [make_job(part) for part in range(PARTS)]
    except packages.Unavailable as error:
        return stock_kvm_lab.unavailable(error, xml_path)
    sheet = report.Report(listed)
    with tempfile.TemporaryDirectory(prefix="debian_virtio.") as work:
        guest.make(os.path.join(work, "guest"), folder, MODULES, guest_programs())
        make_root(os.path.join(work, "root"), folder)
        session.run(folder, os.path.abspath("tests/lab"), listed, sheet,
                    stock_kvm_lab.say, {"virtio": work}, 1)
    sheet.junit().write(xml_path)
    return stock_kvm_lab.summary(sheet.results)


if __name__ == "__main__":
    sys.exit(main())
