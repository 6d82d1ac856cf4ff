#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/features.md has every feature, and tools/feature_table sees what happened."""

import os
import subprocess
import sys
import unittest

from repository import root

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(root(), "tools", "lib"))
import feature_table  # noqa: E402

LOG = "call KVM_NMI\nenable 7\ncapability 5 2\ncapability 5 1\ncapability 7 1\nexit 4\n"
RESULTS = """<testsuites><testsuite name="S">
<testcase name="Good" status="run" classname="S"/>
<testcase name="Each/1" status="run" classname="Both/P"/>
<testcase name="Bad" status="run" classname="S"><failure message="x"/></testcase>
<testcase name="Idle" status="run" classname="S">
  <skipped message="a_test.cc:4&#x0A;no such CPU"/></testcase>
</testsuite></testsuites>"""


class FeatureTableTest(unittest.TestCase):

    def setUp(self):
        self.run_ = feature_table.Run()
        self.run_.add_log(LOG)
        self.run_.add_results(RESULTS)

    def cell(self, number, kind, name="", reason=""):
        return self.run_.cell(number, (kind, name, reason), {"KVM_EXIT_DEBUG": 4})

    def test_document_and_sources_agree(self):
        done = subprocess.run([os.path.join(root(), "tools", "feature_table"),
                               "--check"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_what_was_seen_is_exercised(self):
        for row in [(5, "call", "KVM_NMI"), (7, "enable"), (5, "value"),
                    (5, "exit", "KVM_EXIT_DEBUG"), (5, "test", "S.Good"),
                    (5, "test", "P.Each")]:
            self.assertEqual(self.cell(*row), (True, "yes"), row)

    def test_what_was_not_seen_has_its_reason(self):
        self.assertEqual(self.cell(5, "call", "KVM_SMI", "why"), (False, "no: why"))
        self.assertEqual(self.cell(5, "enable"), (False, "no: nothing tries it"))
        self.assertEqual(self.cell(5, "test", "S.Bad"), (False, "no: nothing tries it"))
        self.assertEqual(self.cell(5, "test", "S.Idle"), (False, "no: no such CPU"))
        self.assertEqual(self.cell(5, "-", "", "why"), (False, "no: why"))

    def test_a_capability_that_is_denied_is_absent(self):
        self.assertEqual(self.cell(9, "value"), (False, "absent"))
        self.assertEqual(self.cell(9, "test", "S.Good"), (False, "absent"))
        self.assertEqual(self.cell(9, "call", "KVM_NMI"),
                         (True, "yes, though the capability is denied"))

    def test_every_difference_is_a_problem(self):
        known, rows = {"kA": (1, "A")}, {"kA": ("value", "", "")}
        self.assertEqual(feature_table.problems(known, rows, "| `kA` | x |\n"), [])
        self.assertIn("lacks kA",
                      feature_table.problems(known, {}, "| `kA` | x |\n")[0])
        self.assertIn("no feature", feature_table.problems(
            known, {**rows, "kB": rows["kA"]}, "| `kA` | x |\n")[0])
        self.assertIn("other features", feature_table.problems(known, rows, "")[0])


if __name__ == "__main__":
    unittest.main()
