#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Multiboot kernel of this folder starts in //examples/vmm and prints what it
was given."""

import os
import subprocess
import sys
import tempfile
import unittest

VMM = os.path.abspath("examples/vmm/vmm")
KERNEL = os.path.abspath("tests/boot/multiboot_kernel/kernel.elf")


def fnv1a(data):
    checksum = 0x811c9dc5
    for byte in data:
        checksum = (checksum ^ byte) * 0x01000193 & 0xffffffff
    return checksum


@unittest.skipUnless(os.access("/dev/kvm", os.W_OK) or
                     os.environ.get("LIBVMM_REQUIRE_KVM") == "1",
                     "/dev/kvm cannot be opened")
class MultibootKernelTest(unittest.TestCase):

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def module(self, name, content):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(content)
        return path

    def boot(self, *arguments):
        """What the kernel prints; it has to power off."""
        done = subprocess.run([VMM, "--multiboot", KERNEL, *arguments],
                              stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=100)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("power-off (ACPI PM1a)", done.stderr)
        return done.stdout.splitlines()

    def test_it_is_told_memory_command_line_and_modules(self):
        first = self.module("first", bytes(range(256)) * 17)
        second = self.module("second", b"x")
        self.assertEqual(
            self.boot("--memory", "64", "--append", "root=none  two words",
                      "--module", first, "--module", f"{second} and arguments"),
            ["magic: 2badb002",
             "flags: 0000024d",
             'loader: "libvmm"',
             'command line: "root=none  two words"',
             "memory: 639 KiB and 64512 KiB",
             "map: 0000000000000000 + 000000000009fc00 type 1",
             "map: 000000000009fc00 + 0000000000060400 type 2",
             "map: 0000000000100000 + 0000000003f00000 type 1",
             "map: 00000000e0000000 + 0000000000100000 type 2",
             f"module: 4352 bytes, checksum {fnv1a(bytes(range(256)) * 17):08x}, "
             f'on a page, string: "{first}"',
             f"module: 1 bytes, checksum {fnv1a(b'x'):08x}, "
             f'on a page, string: "{second} and arguments"'])

    def test_nothing_given_is_told_as_nothing(self):
        lines = self.boot("--memory", "16")
        self.assertIn('command line: ""', lines)
        self.assertIn("memory: 639 KiB and 15360 KiB", lines)
        self.assertEqual([line for line in lines if "module" in line], [])

    def test_memory_beyond_the_hole_is_in_the_map(self):
        lines = self.boot("--memory", "4096")
        self.assertIn("map: 0000000000100000 + 00000000bff00000 type 1", lines)
        self.assertIn("map: 0000000100000000 + 0000000040000000 type 1", lines)


if __name__ == "__main__":
    sys.argv[1:] = []
    unittest.main()
