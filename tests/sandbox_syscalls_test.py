#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/sandbox_syscalls.md names the system calls that are served, each once."""

import collections
import glob
import os
import re
import unittest

from repository import root

ROW = re.compile(r'\{SYS_(\w+),\s*"(\w+)",')


def rows():
    """(constant, name) of each row of the tables of handlers."""
    found = []
    pattern = os.path.join(root(), "libvmm", "sandbox", "syscalls", "*_calls.cc")
    for path in sorted(glob.glob(pattern)):
        with open(path, encoding="utf-8") as file:
            found += ROW.findall(file.read())
    return found


def documented():
    """The names in the first column of each table of the document."""
    path = os.path.join(root(), "docs", "sandbox_syscalls.md")
    with open(path, encoding="utf-8") as file:
        cells = [line.split("|")[1] for line in file if line.startswith("| `")]
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


class SandboxSyscallsTest(unittest.TestCase):
    def test_rows_are_found(self):
        self.assertIn(("openat", "openat"), rows())
        self.assertGreater(len(rows()), 150)

    def test_names_are_those_of_the_numbers(self):
        for constant, name in rows():
            self.assertEqual(constant, name)

    def test_no_call_has_two_handlers(self):
        counts = collections.Counter(name for _, name in rows())
        self.assertEqual([], [name for name, count in counts.items() if count > 1])

    def test_document_is_complete(self):
        self.assertEqual(sorted(name for _, name in rows()), sorted(documented()))


if __name__ == "__main__":
    unittest.main()
