#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/kvm_coverage.md is true, and tools/kvm_coverage sees what is missing."""

import importlib.machinery
import importlib.util
import os
import subprocess
import sys
import unittest

from repository import root

SCRIPT = os.path.join(root(), "tools", "kvm_coverage")
sys.dont_write_bytecode = True
LOADER = importlib.machinery.SourceFileLoader("kvm_coverage", SCRIPT)
coverage = importlib.util.module_from_spec(
    importlib.util.spec_from_loader("kvm_coverage", LOADER))
LOADER.exec_module(coverage)

HEADER = "libvmm/kvm/thing.h"
DECLARATION = """// A thing (KVM_MAKE_THING).
class Thing {
};

// KVM_ASK_THING: asks.
int Ask(int thing);
"""
SOURCES = {HEADER: DECLARATION,
           "libvmm/kvm/thing.cc": 'f(KVM_MAKE_THING, KVM_ASK_THING); // KVM_COMMENT\n'
                                  'g("KVM_STRING");\n',
           "libvmm/kvm/exit.h": "enum E {\n  kPio = 2,  // KVM_EXIT_IO\n};\n"}


def row(tree, name, kind="ioctl", number="1", useful="y", reason="-"):
    return coverage.Row({"kind": kind, "name": name, "number": number, "level": "vm",
                         "useful_on_x86": useful, "reason": reason}, tree)


class KvmCoverageTest(unittest.TestCase):

    def setUp(self):
        self.tree = coverage.Tree(SOURCES, {
            "a_test.cc": f'#include "{HEADER}"\nAsk(1);',
            "b_test.cc": "Ask(1); ExitReason::kPio",
            "c_test.cc": "KVM_ASK_THING"})

    def test_document_and_sources_agree(self):
        done = subprocess.run([SCRIPT, "--check"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_call_in_code_has_its_header(self):
        self.assertEqual(row(self.tree, "KVM_MAKE_THING").header, HEADER)
        self.assertIsNone(row(self.tree, "KVM_MAKE_THING").problem)

    def test_name_in_comment_or_string_wraps_nothing(self):
        for name in ("KVM_COMMENT", "KVM_STRING"):
            self.assertIn("neither a wrapper nor a reason", row(self.tree, name).problem)

    def test_reason_or_uselessness_excuses(self):
        self.assertIsNone(row(self.tree, "KVM_NONE", reason="gone").problem)
        self.assertIsNone(row(self.tree, "KVM_NONE", useful="n").problem)

    def test_tests_name_the_call_or_use_its_function(self):
        self.assertEqual(row(self.tree, "KVM_ASK_THING").tests,
                         ["a_test.cc", "c_test.cc"])
        self.assertEqual(row(self.tree, "KVM_MAKE_THING").tests, [])

    def test_exit_needs_an_enumerator_with_its_number(self):
        good = row(self.tree, "KVM_EXIT_IO", kind="exit", number="2")
        self.assertIsNone(good.problem)
        self.assertEqual(good.tests, ["b_test.cc"])
        self.assertIn("exit.h has 2",
                      row(self.tree, "KVM_EXIT_IO", kind="exit", number="3").problem)
        self.assertIn("neither an enumerator",
                      row(self.tree, "KVM_EXIT_NEW", kind="exit").problem)

    def test_row_without_test_says_so(self):
        text = coverage.document([row(self.tree, "KVM_MAKE_THING")])
        self.assertIn("| `KVM_MAKE_THING` | 0x01 | vm | no test |", text)


if __name__ == "__main__":
    unittest.main()
