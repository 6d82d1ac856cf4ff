#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The scripts in tools/: what they count, tabulate and say."""

import contextlib
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

from repository import root

sys.path.insert(0, os.path.join(root(), "tools", "lib"))
import bench_table  # noqa: E402
import count_tests  # noqa: E402

GOOGLETEST_XML = """<testsuites><testsuite name="K">
<testcase name="Good" status="run" result="completed" classname="K"/>
<testcase name="Bad" status="run" result="completed" classname="K">
  <failure message="1 is not 2"/></testcase>
<testcase name="Idle" status="run" result="skipped" classname="K">
  <skipped message="a/k_test.cc:4&#x0A;no irqchip"/></testcase>
<testcase name="DISABLED_Off" status="notrun" result="suppressed" classname="K"/>
</testsuite></testsuites>"""
SHELL_XML = """<testsuites><testsuite name="s" tests="1"><testcase name="s"
status="run"/></testsuite></testsuites>"""


class CountTestsTest(unittest.TestCase):

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def result(self, label, status, text):
        """A build event of a test that left `text` as XML."""
        path = os.path.join(self.folder.name, label.replace("/", "_") + ".xml")
        if text is not None:
            with open(path, "w") as file:
                file.write(text)
        return {"id": {"testResult": {"label": label, "run": 1, "shard": 0}},
                "testResult": {"status": status, "testActionOutput": [
                    {"name": "test.log", "uri": f"file://{path}.log"},
                    {"name": "test.xml", "uri": f"file://{path}"}]}}

    def count(self, exit_code, *events):
        run = count_tests.count("plain", exit_code, events)
        return run, (run.passed, len(run.failures), len(run.skips))

    def test_cases_of_googletest_are_counted(self):
        run, numbers = self.count(3, self.result("//a:k", "FAILED", GOOGLETEST_XML))
        self.assertEqual(numbers, (1, 1, 2))
        self.assertEqual(run.failures[0][0], "//a:k K.Bad")
        self.assertEqual(run.skips, [("no irqchip", "//a:k K.Idle"),
                                     ("disabled", "//a:k K.DISABLED_Off")])

    def test_other_tests_count_as_one(self):
        _, numbers = self.count(0, self.result("//a:s", "PASSED", SHELL_XML))
        self.assertEqual(numbers, (1, 0, 0))

    def test_failure_that_no_case_knows_is_counted(self):
        run, numbers = self.count(3, self.result("//a:s", "TIMEOUT", SHELL_XML))
        self.assertEqual(numbers, (1, 1, 0))
        self.assertEqual(run.failures[0][0], "//a:s TIMEOUT")

    def test_missing_xml_is_a_failure(self):
        for status in ("PASSED", "FAILED"):
            _, numbers = self.count(0, self.result("//a:none", status, None))
            self.assertEqual(numbers, (0, 1, 0))

    def test_target_that_does_not_build_is_a_failure(self):
        _, numbers = self.count(
            1, {"id": {"targetCompleted": {"label": "//a:x"}}, "completed": {}},
            {"id": {"targetCompleted": {"label": "//a:y"}},
             "completed": {"success": True}})
        self.assertEqual(numbers, (0, 1, 0))

    def test_bazel_that_fails_without_saying_why_is_a_failure(self):
        self.assertEqual(self.count(1)[1], (0, 1, 0))
        self.assertEqual(self.count(4)[1], (0, 0, 0))

    def main(self, *runs):
        arguments = []
        for number, (code, events) in enumerate(runs):
            path = os.path.join(self.folder.name, f"{number}.json")
            with open(path, "w") as file:
                file.writelines(json.dumps(event) + "\n" for event in events)
            arguments.append(f"run{number}:{code}:{path}")
        with contextlib.redirect_stdout(io.StringIO()) as output:
            code = count_tests.main(arguments)
        return code, output.getvalue().splitlines()[-1]

    def test_last_line_sums_the_runs(self):
        good = self.result("//a:s", "PASSED", SHELL_XML)
        bad = self.result("//a:k", "FAILED", GOOGLETEST_XML)
        self.assertEqual(self.main((0, [good]), (3, [good, bad])),
                         (1, "3 passed, 1 failed, 2 skipped"))
        self.assertEqual(self.main((0, [good])), (0, "1 passed, 0 failed, 0 skipped"))

    def test_nothing_run_is_a_failure(self):
        self.assertEqual(self.main((4, [])), (1, "0 passed, 0 failed, 0 skipped"))


class BenchTableTest(unittest.TestCase):

    def test_json_keeps_nulls_and_six_digits(self):
        row = dict.fromkeys(bench_table.FIELDS)
        row.update(name="x", ours_ns=1.23456789)
        self.assertEqual(json.loads(bench_table.to_json([row])), [
            {"name": "x", "ours_ns": 1.23457, "raw_ns": None, "ratio": None,
             "diff_ns": None, "p99_ns": None, "instructions": None}])


class ScriptsTest(unittest.TestCase):

    def test_every_script_explains_itself(self):
        folder = os.path.join(root(), "tools")
        scripts = [name for name in sorted(os.listdir(folder))
                   if os.access(os.path.join(folder, name), os.X_OK)
                   and os.path.isfile(os.path.join(folder, name))]
        self.assertIn("test", scripts)
        for name in scripts:
            run = subprocess.run([os.path.join(folder, name), "--help"],
                                 capture_output=True, text=True, cwd="/",
                                 stdin=subprocess.DEVNULL)
            self.assertEqual((run.returncode, run.stderr), (0, ""), name)
            self.assertIn(f"tools/{name}", run.stdout.splitlines()[0])
            self.assertGreater(len(run.stdout.splitlines()), 3, name)

    def test_every_package_is_documented(self):
        with open(os.path.join(root(), "tools", "packages.txt")) as file:
            packages = [line.split()[0] for line in file if not line.startswith("#")]
        with open(os.path.join(root(), "docs", "dependencies.md")) as file:
            documented = re.findall(r"^\| `([^`]+)` \|", file.read(), re.MULTILINE)
        self.assertEqual(packages, documented)


if __name__ == "__main__":
    unittest.main()
