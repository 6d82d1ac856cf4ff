#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The lab sees a program that fails, hangs, dies, or takes the machine down."""

import io
import os
import struct
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, "tests")
from repository import root  # noqa: E402

sys.path.insert(0, os.path.join(root(), "tools", "lib"))
import stock_kvm_lab  # noqa: E402
from lab import initramfs, jobs, machine, packages, report, session  # noqa: E402

RUNNER = os.path.realpath("tests/lab/runner")
MISBEHAVE = os.path.realpath("tests/lab/misbehave")
WAYS = ("pass", "fail", "crash", "hang", "leave a child", "be killed")
FAILURES = {"pass": None, "leave a child": None, "fail": "exited with code 3",
            "crash": "was ended by SIGABRT", "be killed": "was ended by SIGKILL",
            "hang": "was killed at its time limit"}


def job(how):
    return jobs.Job(how, "/programs/bin/misbehave", MISBEHAVE, [how], limit=3)


class FramesTest(unittest.TestCase):

    def test_frames_may_come_in_pieces(self):
        frames = machine.Frames()
        stream = struct.pack("<III", machine.OUTPUT, 7, 3) + b"abc"
        stream += struct.pack("<III", machine.DONE, 0, 0)
        got = []
        for byte in stream:
            got += frames.add(bytes([byte]))
        self.assertEqual(got, [(machine.OUTPUT, 7, b"abc"), (machine.DONE, 0, b"")])


class InitramfsTest(unittest.TestCase):

    def test_entries_are_in_the_format(self):
        archive = initramfs.Initramfs()
        archive.text("a/b", "hello", 0o755)
        out = io.BytesIO()
        archive.write(out)
        data, names, at = out.getvalue(), [], 0
        while not names or names[-1][0] != b"TRAILER!!!":
            self.assertEqual(data[at:at + 6], b"070701")
            fields = [int(data[at + 6 + 8 * i:at + 14 + 8 * i], 16)
                      for i in range(13)]
            name = data[at + 110:at + 110 + fields[11] - 1]
            start = (at + 110 + fields[11] + 3) & ~3
            names.append((name, oct(fields[1]), data[start:start + fields[6]]))
            at = (start + fields[6] + 3) & ~3
        self.assertEqual(names[:2], [(b"a", "0o40755", b""),
                                     (b"a/b", "0o100755", b"hello")])
        self.assertEqual(at, len(data))


class RunnerTest(unittest.TestCase):
    """The runner by itself, on this machine."""

    def test_every_end_is_told(self):
        with tempfile.TemporaryDirectory() as work:
            listed = [job(how) for how in WAYS]
            text = ""
            for number, item in enumerate(listed):
                text += (f"job {item.name}\nargument {MISBEHAVE}\n"
                         f"argument {item.name}\nlimit 3\noutput {work}/{number}\n")
            text += f"job none\nargument {work}/none\n"
            listed.append(jobs.Job("none", "", ""))
            with open(os.path.join(work, "jobs"), "w") as file:
                file.write(text)
            stream = os.path.join(work, "stream")
            open(stream, "w").close()
            subprocess.run((RUNNER, os.path.join(work, "jobs"), stream, "2"),
                           check=True, timeout=60)
            sheet = report.Report(listed, out=io.StringIO())
            kinds = []
            with open(stream, "rb") as file:
                for kind, number, content in machine.Frames().add(file.read()):
                    kinds.append(kind)
                    if kind == machine.START:
                        sheet.start(number)
                    elif kind == machine.OUTPUT:
                        sheet.output(number, content)
                    elif kind == machine.END:
                        sheet.end(number, content.decode())
        self.assertEqual((kinds[0], kinds[-1]), (machine.READY, machine.DONE))
        for result in sheet.results[:-1]:
            self.assertTrue(result.ended, result.name)
            self.assertEqual(bytes(result.output).decode(),
                             f"this one is to {result.name}\n")
            self.assertEqual((result.failure or "")[:28],
                             (FAILURES[result.name] or "")[:28])
        self.assertEqual(sheet.results[-1].failure, "exited with code 127")


class ReportTest(unittest.TestCase):

    def result(self, end, xml=None):
        result = report.Result("//a:b")
        if xml is not None:
            result.files["test.xml"] = xml
        if end is not None:
            result.end(end)
        return result

    def test_exit_code_counts_where_no_case_failed(self):
        passed = b'<testsuites><testsuite><testcase name="c" classname="C"/>' \
                 b"</testsuite></testsuites>"
        code = stock_kvm_lab.summary([self.result("exit 0 5", passed)])
        self.assertEqual(code, 0)
        for result in (self.result("exit 1 5", passed), self.result("exit 1 5"),
                       self.result("signal 11 5", passed), self.result(None)):
            self.assertEqual(stock_kvm_lab.summary([result]), 1)

    def test_a_job_that_went_down_with_another_runs_again(self):
        out = io.StringIO()
        sheet = report.Report([job("one"), job("two"), job("three")], out=out)
        for number in (0, 1):
            sheet.start(number)
            sheet.output(number, b"half")
        self.assertEqual(sheet.lost("gone"), [0, 1])
        for number in (0, 1):
            self.assertFalse(sheet.results[number].ended)
            self.assertEqual(sheet.results[number].output, b"")
        sheet.start(0)
        sheet.end(0, "exit 0 5")
        sheet.start(1)
        self.assertEqual(sheet.lost("gone"), [])
        self.assertIsNone(sheet.results[0].failure)
        self.assertIn("took the machine down", sheet.results[1].failure)
        self.assertEqual(out.getvalue().count("== "), 3)

    def test_a_machine_that_only_stands_still_is_tried_once_more(self):
        sheet = report.Report([job("one"), job("two")], out=io.StringIO())
        for number in (0, 1):
            sheet.start(number)
            self.assertEqual(sheet.lost("still", silent=True), [number])
            self.assertFalse(sheet.results[number].ended)
            sheet.start(number)
            if number == 0:
                sheet.end(number, "exit 0 5")
            else:
                self.assertEqual(sheet.lost("still", silent=True), [])
        self.assertIsNone(sheet.results[0].failure)
        self.assertIn("took the machine down", sheet.results[1].failure)

    def test_nothing_run_is_a_failure(self):
        self.assertEqual(stock_kvm_lab.summary([]), 1)


class MachineTest(unittest.TestCase):

    def test_every_failure_is_seen_and_the_rest_still_run(self):
        try:
            folder = packages.get(print)
        except packages.Unavailable as error:
            self.skipTest(str(error))
        listed = [job(how) for how in (*WAYS, "panic", "pass")]
        listed[-2].exclusive = True
        out = io.StringIO()
        sheet = report.Report(listed, out=out)
        session.run(folder, os.path.dirname(RUNNER), listed, sheet, print)
        print(out.getvalue())
        for result in sheet.results:
            self.assertTrue(result.ended, result.name)
            self.assertIn(f"this one is to {result.name}\n",
                          bytes(result.output).decode())
            if result.name == "panic":
                self.assertIn("Kernel panic", result.failure)
            else:
                self.assertEqual((result.failure or "")[:28],
                                 (FAILURES[result.name] or "")[:28])
        self.assertEqual(stock_kvm_lab.summary(sheet.results), 1)
        self.assertEqual(len(sheet.junit().findall(".//failure")), 5)


if __name__ == "__main__":
    unittest.main()
