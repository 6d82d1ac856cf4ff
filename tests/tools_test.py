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
import error_branches  # noqa: E402

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
        self.output = output.getvalue().splitlines()
        return code, self.output[-1]

    def test_last_line_sums_the_runs(self):
        good = self.result("//a:s", "PASSED", SHELL_XML)
        bad = self.result("//a:k", "FAILED", GOOGLETEST_XML)
        self.assertEqual(self.main((0, [good]), (3, [good, bad])),
                         (1, "3 passed, 1 failed, 2 skipped"))
        self.assertEqual(self.main((0, [good])), (0, "1 passed, 0 failed, 0 skipped"))

    def test_failures_of_all_runs_and_their_logs_come_last(self):
        bad = self.result("//a:k", "FAILED", GOOGLETEST_XML)
        log = bad["testResult"]["testActionOutput"][0]["uri"][len("file://"):]
        with open(log, "w") as file:
            file.writelines(f"line {i}\n" for i in range(30))
        self.main((3, [bad]), (0, [self.result("//a:s", "PASSED", SHELL_XML)]))
        self.assertEqual(self.output[-27:-3], [
            "", f"== the end of {log}", *(f"line {i}" for i in range(10, 30)),
            "", "FAILED in run0: //a:k K.Bad"])

    def test_nothing_run_is_a_failure(self):
        self.assertEqual(self.main((4, [])), (1, "0 passed, 0 failed, 0 skipped"))


class BenchTableTest(unittest.TestCase):

    def test_json_keeps_nulls_and_six_digits(self):
        row = dict.fromkeys(bench_table.FIELDS)
        row.update(name="x", ours_ns=1.23456789)
        self.assertEqual(json.loads(bench_table.to_json([row])), [
            {"name": "x", "ours_ns": 1.23457, "raw_ns": None, "ratio": None,
             "diff_ns": None, "p99_ns": None, "instructions": None}])


# Each line that returns an error says what the run below makes of it.
ERROR_BRANCHES_SOURCE = """
namespace absl {
struct Status {
  bool good = true;
  bool ok() const { return good; }
  ~Status() {}
};
Status OkStatus() { return {}; }
Status FooError(int) { return {false}; }
}  // namespace absl
absl::Status F(bool good) { return good ? absl::OkStatus() : absl::Status{false}; }
#define LIBVMM_RETURN_IF_ERROR(expression)                            \\
  do {                                                                \\
    if (absl::Status s = (expression);                                \\
        __builtin_expect(false || (!s.ok()), false)) {                \\
      return s;                                                       \\
    }                                                                 \\
  } while (false)
absl::Status Tried(int x) {
  LIBVMM_RETURN_IF_ERROR(F(x != 1));  // macro, taken
  LIBVMM_RETURN_IF_ERROR(F(x != 9));  // macro, not
  LIBVMM_RETURN_IF_ERROR(
      F(x != 2));  // in two lines
  if (x == 3) return absl::FooError(x);  // one line, taken
  if (x == 9) return absl::FooError(x);  // one line, not
  if (x == 4) {
    return absl::FooError(
        x);
  }
  if (x == 9) {
    return absl::FooError(x);  // not
  }
  absl::Status last = F(x != 5);
  if (!last.ok()) {
    return last;  // taken
  }
  // return absl::FooError(0);
  return F(x != 6);  // a tail call is no branch
}
absl::Status Always() {
  LIBVMM_RETURN_IF_ERROR(F(false));  // macro, always
  return absl::OkStatus();
}
int main() {
  for (int x = 0; x < 7; ++x) Tried(x);
  Always();
}
"""


class ErrorBranchesTest(unittest.TestCase):

    def test_what_the_compiler_counts_is_read_right(self):
        with tempfile.TemporaryDirectory() as folder:
            objects = os.path.join(folder, "libvmm", "kvm")
            os.makedirs(objects)
            source = os.path.join(objects, "thing.cc")
            with open(source, "w") as file:
                file.write(ERROR_BRANCHES_SOURCE)
            program = os.path.join(objects, "thing")
            subprocess.run(["g++", "-std=c++20", "-O0", "-fno-exceptions", "--coverage",
                            "-o", program, "libvmm/kvm/thing.cc"], cwd=folder,
                           check=True)
            subprocess.run([program], cwd=folder, check=True)
            lines = error_branches.read_gcov(
                error_branches.gcov_documents(folder, "libvmm/kvm"))
        sites = error_branches.sites_in("libvmm/kvm/thing.cc", ERROR_BRANCHES_SOURCE)
        first = ERROR_BRANCHES_SOURCE.count("\n", 0, ERROR_BRANCHES_SOURCE.index("Tried"))
        sites = [site for site in sites if site.line > first]
        states = [(site.text.split("//")[0].strip(),
                   error_branches.executed(site, lines["libvmm/kvm/thing.cc"]))
                  for site in sites]
        self.assertEqual(states, [
            ("LIBVMM_RETURN_IF_ERROR(F(x != 1));", True),
            ("LIBVMM_RETURN_IF_ERROR(F(x != 9));", False),
            ("LIBVMM_RETURN_IF_ERROR(", True),
            ("if (x == 3) return absl::FooError(x);", True),
            ("if (x == 9) return absl::FooError(x);", False),
            ("return absl::FooError(", True),
            ("return absl::FooError(x);", False),
            ("return last;", True),
            ("LIBVMM_RETURN_IF_ERROR(F(false));", True),
        ])

    def test_what_was_not_compiled_was_not_executed(self):
        sites = error_branches.sites_in("a.cc", "return absl::FooError();\n")
        self.assertEqual(error_branches.report(sites, {}),
                         (["MISSING   a.cc:1: return absl::FooError();"], 0, 1))


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
