#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each folder of libvmm/ includes only what its arrow in the design allows."""

import os
import re
import unittest

from repository import files, root

# What a folder may include besides itself, and what that may include.
ARROWS = {
    "base": [],
    "memory": ["base"],
    "devices": ["memory"],
    "kvm": ["base", "memory"],
    "dispatch": ["kvm", "devices"],
    "boot": ["memory", "kvm"],
    "platform": ["boot", "dispatch"],
    "snapshot": ["kvm", "memory", "devices"],
    "sandbox": ["kvm", "memory", "boot", "dispatch"],
    "debug": ["kvm", "memory", "dispatch"],
    "testing": ["platform"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s*(["<][^">]+[">])', re.MULTILINE)
# The test of abi.h against the kernel's header as C sees it needs that header.
KERNEL_HEADER_USERS = re.compile(r"^libvmm/kvm/(abi\.h|[^/]*\.c)$")


def reachable(folder):
    seen = {folder}
    for target in ARROWS[folder]:
        seen |= reachable(target)
    return seen


def violations(path, text):
    """What is wrong with the includes of the file `path`, a list of sentences."""
    folder = path.split("/")[1]
    if folder not in ARROWS:
        return [f"{path}: no arrow is known for folder {folder}"]
    is_test = re.search(r"_(test|fuzz)(_[a-z_]+)?\.(cc|c|h)$", path)
    found = []
    for include in INCLUDE.findall(text):
        name = include[1:-1]
        parts = name.split("/")
        if name == "linux/kvm.h" and not KERNEL_HEADER_USERS.match(path):
            found.append(f"{path} includes <linux/kvm.h>; only libvmm/kvm/abi.h may")
        elif include[0] == "<":
            continue
        elif parts[0] in ("examples", "bench", "tests", "third_party"):
            found.append(f"{path} includes {name}: nothing includes {parts[0]}/")
        elif parts[0] == "libvmm" and parts[1] == "testing":
            if not is_test and folder != "testing":
                found.append(f"{path} includes {name}, which is for tests")
        elif parts[0] == "libvmm":
            if parts[1] not in reachable(folder):
                found.append(f"{path} includes {name}: no arrow from {folder} to {parts[1]}")
            elif "internal" in parts and parts[1] != folder:
                found.append(f"{path} includes {name}, internal to {parts[1]}")
    return found


class IncludeArrowsTest(unittest.TestCase):

    def test_every_include_follows_an_arrow(self):
        paths = files("libvmm", endings=[".h", ".cc", ".c", ".inc"])
        self.assertGreater(len(paths), 10)
        found = []
        for path in paths:
            with open(os.path.join(root(), path)) as file:
                found += violations(path, file.read())
        if found:
            self.fail("\n" + "\n".join(found))

    def test_violations_are_seen(self):
        for path, line in [
            ("libvmm/base/x.h", '#include "libvmm/memory/guest_memory.h"'),
            ("libvmm/devices/x.cc", '# include "libvmm/kvm/abi.h"'),
            ("libvmm/kvm/x.cc", '#include "libvmm/devices/io_bus.h"'),
            ("libvmm/kvm/x.cc", '#include "libvmm/testing/status_matchers.h"'),
            ("libvmm/kvm/vm.h", "#include <linux/kvm.h>"),
            ("libvmm/boot/x.cc", '#include "libvmm/memory/internal/x.h"'),
            ("libvmm/dispatch/x.cc", '#include "bench/twin.h"'),
            ("libvmm/novel/x.h", ""),
        ]:
            self.assertEqual(len(violations(path, f"\n{line}\n")), 1, (path, line))

    def test_allowed_includes_pass(self):
        for path, line in [
            ("libvmm/devices/x.h", '#include "libvmm/base/address.h"'),
            ("libvmm/dispatch/x.cc", '#include "libvmm/memory/guest_memory.h"'),
            ("libvmm/kvm/x_test.cc", '#include "libvmm/testing/status_matchers.h"'),
            ("libvmm/kvm/abi.h", "#include <linux/kvm.h>"),
            ("libvmm/memory/x.cc", '#include "libvmm/memory/internal/x.h"'),
            ("libvmm/base/x.cc", '#include "absl/status/status.h"'),
        ]:
            self.assertEqual(violations(path, f"{line}\n"), [])


if __name__ == "__main__":
    unittest.main()
