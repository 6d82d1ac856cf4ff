#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What tools/bench_boot makes of commands and output."""

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, "tests")
from repository import root  # noqa: E402

sys.path.insert(0, os.path.join(root(), "tools", "lib"))
import bench_boot  # noqa: E402
from lab import jobs  # noqa: E402

TIMER = os.path.realpath("tests/boot/boot_timer")


def run(ms, cpu_ms):
    return {"ms": ms, "cpu_ms": cpu_ms, "beyond_kib": 2048.0, "guest_kib": 4096.0,
            "huge_kib": 1024.0}


def refuses(arguments):
    """Whether these are refused with a message."""
    with contextlib.redirect_stderr(io.StringIO()) as error:
        try:
            bench_boot.parse(arguments)
        except SystemExit:
            return "error:" in error.getvalue()
    return False


class BenchBootTest(unittest.TestCase):

    def test_words_stay_whole_whatever_they_are_replaced_by(self):
        words = bench_boot.words_of("a/b --x '{append}' --m={memory}M\n -q",
                                    {"append": "quiet console=ttyS0", "memory": "512"})
        self.assertEqual(words, ["a/b", "--x", "quiet console=ttyS0", "--m=512M", "-q"])

    def test_unknown_word_is_refused(self):
        with self.assertRaisesRegex(jobs.Refused, r"\{kernle\}.*\{kernel\}"):
            bench_boot.words_of("a {kernle}", {"kernel": "k"})

    def test_every_baseline_has_only_known_words(self):
        options = bench_boot.parse([])
        self.assertEqual(sorted(options.vmms),
                         ["qemu-microvm", "qemu-microvm-default", "qemu-microvm-pvh", "qemu-q35"])

    def test_vmms_come_from_the_command_line(self):
        options = bench_boot.parse(["--only", "^ours$", "--vmm", "ours=x --a=b"])
        self.assertEqual(options.vmms, {"ours": "x --a=b"})
        for wrong in (["--only", "none"], ["--vmm", "ours"], ["--vmm", "ours="]):
            self.assertTrue(refuses(wrong), wrong)

    def test_last_line_of_the_timer_counts(self):
        self.assertEqual(bench_boot.parse_line(
            "hello\nboot_timer: ms=9.0 beyond_kib=9\n"
            "boot_timer: ms=1.5 beyond_kib=2 guest_kib=3 huge_kib=0\n"),
            {"ms": 1.5, "beyond_kib": 2, "guest_kib": 3, "huge_kib": 0})
        self.assertIsNone(bench_boot.parse_line("boot_timer: no line x\n"))

    def test_table_has_medians(self):
        rows = [bench_boot.row("ours", [run(3, 10), run(1, 20), run(100, 30)])]
        self.assertEqual(bench_boot.table(rows).splitlines()[1].split(),
                         "ours 3 3 1 100 20 2.0 4.0 1.0".split())


class BootTimerTest(unittest.TestCase):

    def time(self, script, limit="20"):
        with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
            file.write(script)
            file.flush()
            return subprocess.run((TIMER, "0", limit, "here: I am", "/bin/sh", file.name),
                                  capture_output=True, text=True, timeout=60)

    def test_marker_is_the_end_of_a_line(self):
        done = self.time("echo so here: I am, not; echo and here: I am; exec sleep 1000")
        numbers = bench_boot.parse_line(done.stdout)
        self.assertEqual(done.returncode, 0)
        self.assertIn("so here: I am, not\nand here: I am\n", done.stdout)
        self.assertGreater(numbers["beyond_kib"], 0)
        self.assertEqual(numbers["guest_kib"], 0)

    def test_program_that_does_not_say_it_fails(self):
        for script, limit in (("echo other", "20"), ("exec sleep 1000", "1")):
            done = self.time(script, limit)
            self.assertEqual(done.returncode, 1, script)
            self.assertIsNone(bench_boot.parse_line(done.stdout))

    def test_largest_mappings_are_the_guest(self):
        done = subprocess.run(
            (TIMER, "64", "20", "here: I am", sys.executable, "-c",
             "import mmap, time\n"
             "memory = mmap.mmap(-1, 64 << 20)\n"
             "memory[:4 << 20] = bytes(4 << 20)\n"
             "print('here: I am', flush=True)\n"
             "time.sleep(1000)"), capture_output=True, text=True, timeout=60)
        numbers = bench_boot.parse_line(done.stdout)
        self.assertGreaterEqual(numbers["guest_kib"], 4 << 10)
        self.assertLess(numbers["guest_kib"], 64 << 10)
        self.assertGreater(numbers["beyond_kib"], 1 << 10)
        self.assertLess(numbers["beyond_kib"], 64 << 10)


if __name__ == "__main__":
    unittest.main()
