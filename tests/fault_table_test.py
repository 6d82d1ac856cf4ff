#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""docs/fault_injection.md has every fault scenario and no other, without failures."""

import os
import re
import subprocess
import sys
import tempfile
import unittest

from repository import root

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(root(), "tools", "lib"))
import fault_table  # noqa: E402

SOURCE = """
  Check(FaultScenario("one").Survives("read", {}, "x"), body);
  Check(KvmScenario(many ? "two, long"
                         : "three"), body);
  Check(Lacking("four", KVM_CAP_X, 1), body);
constexpr Row kRows[] = {
    {"five", KVM_CAP_Y, 1, &Make},
};
  Check(Lacking(row.name, row.capability, row.value), body);
"""


class FaultTableTest(unittest.TestCase):

    def test_document_and_sources_agree(self):
        done = subprocess.run([os.path.join(root(), "tools", "fault_table"), "--check"],
                              capture_output=True, text=True)
        self.assertEqual(done.returncode, 0, done.stderr)

    def test_document_has_only_good_results(self):
        with open(os.path.join(root(), fault_table.DOCUMENT)) as file:
            text = file.read()
        rows = re.findall(r"^\| .* \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$", text,
                          re.MULTILINE)
        self.assertGreater(len(rows), 50)
        self.assertEqual(set(rows), {("0", "0", "0", "0")})
        percent = float(re.search(r"error branches executed: ([\d.]+)%", text)[1])
        self.assertGreaterEqual(percent, 95)

    def test_names_are_found_in_every_form(self):
        self.assertEqual(fault_table.names_in(SOURCE),
                         ["one", "two, long", "three", "four", "five"])

    def test_every_difference_is_a_problem(self):
        self.assertEqual(fault_table.problems(["a", "b"], ["a", "b"]), [])
        self.assertIn("lacks the scenario b", fault_table.problems(["a", "b"], ["a"])[0])
        self.assertIn("which no test makes", fault_table.problems(["a"], ["a", "b"])[0])
        self.assertIn("named a", fault_table.problems(["a", "a"], ["a"])[0])

    def test_start_without_end_is_a_crash(self):
        with tempfile.NamedTemporaryFile("w") as file:
            file.write("start\tx\nend\tx\t2\t4\tEIO\t1\t2\t3\nstart\ty\n")
            file.flush()
            rows = fault_table.read_rows(file.name)
        self.assertEqual(rows["x"], ["2", "4", "EIO", "1", "0", "2", "3"])
        self.assertEqual(rows["y"][4], "1")
        text = fault_table.document("all", "a KVM", rows)
        self.assertEqual(fault_table.documented(text), ["x", "y"])
        self.assertIn("1 leaks, 1 crashes, 2 wrong codes, 3 other", text)


if __name__ == "__main__":
    unittest.main()
