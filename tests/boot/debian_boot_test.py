#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Boots Debian's kernel on the Pc inside the lab; debian_boot.cc has the cases."""

import os
import sys
import tempfile

sys.path.insert(0, "tests")
from repository import root  # noqa: E402

sys.path.insert(0, os.path.join(root(), "tools", "lib"))
import stock_kvm_lab  # noqa: E402
from lab import guest, jobs, packages, report, session  # noqa: E402

# At a time; each has a part of the cases.
PROGRAMS = 1
LIMIT_SECONDS = 800
# Tells the machine of a panic.
MODULES = ("pvpanic-mmio",)


def boot_jobs(program):
    found = []
    for number in range(PROGRAMS):
        job = jobs.from_file(program, LIMIT_SECONDS)
        job.environment = {"LIBVMM_BOOT_GUEST": f"/{jobs.WORK}/guest",
                           "GTEST_TOTAL_SHARDS": str(PROGRAMS),
                           "GTEST_SHARD_INDEX": str(number),
                           # No stacks kept for later threads: debian_machines.cc
                           # compares mappings.
                           "GLIBC_TUNABLES": "glibc.pthread.stack_cache_size=0"}
        if "LIBVMM_BOOT_ALL" in os.environ:
            job.environment["LIBVMM_BOOT_ALL"] = "1"
        found.append(job)
    return found


def main():
    xml_path = os.environ.get("XML_OUTPUT_FILE", os.devnull)
    try:
        folder = packages.get(stock_kvm_lab.say, modules=MODULES)
    except packages.Unavailable as error:
        return stock_kvm_lab.unavailable(error, xml_path)
    listed = boot_jobs("tests/boot/debian_boot")
    sheet = report.Report(listed)
    with tempfile.TemporaryDirectory(prefix="debian_boot.") as work:
        guest.make(work, folder, MODULES)
        session.run(folder, os.path.abspath("tests/lab"), listed, sheet,
                    stock_kvm_lab.say, {"guest": work}, PROGRAMS)
    sheet.junit().write(xml_path)
    return stock_kvm_lab.summary(sheet.results)


if __name__ == "__main__":
    sys.exit(main())
