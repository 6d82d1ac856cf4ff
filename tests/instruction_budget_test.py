#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Each hot path stays within its budget of instructions.

hot_paths is run under valgrind's callgrind with two iteration counts; the
difference is what the iterations alone took. instruction_budget.golden holds the
counts that g++ 12 makes of the default configuration, which it may exceed by 1%
and 1 instruction; another compiler may take 10% and 2 instructions more. After a change that is meant to cost or save some:

  bazel run //tests:instruction_budget_test -- --update
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAM = os.path.join(HERE, "hot_paths")
GOLDEN = os.path.join(HERE, "instruction_budget.golden")
FUNCTION = "GoThroughHotPath"
FEW, MANY = 1000, 11000


def instructions(count):
    """Each path's instructions for `count` iterations, with what comes before."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "out")
        run = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
             f"--dump-after={FUNCTION}", PROGRAM, str(count)],
            capture_output=True, text=True)
        if run.returncode != 0:
            raise RuntimeError(f"callgrind: {run.stderr}")
        totals = {}
        for i, path in enumerate(run.stdout.split(), 1):
            with open(f"{out}.{i}") as dump:
                totals[path] = int(re.search(r"^totals: (\d+)", dump.read(),
                                             re.MULTILINE).group(1))
        return totals


def measured():
    few, many = instructions(FEW), instructions(MANY)
    return {path: (many[path] - few[path]) / (MANY - FEW) for path in many}


def golden():
    with open(GOLDEN) as file:
        rows = [line.split() for line in file if line.strip() and line[0] != "#"]
    return {path: float(count) for path, count in rows}


def reference_compiler():
    version = subprocess.run(["g++", "-dumpversion"], capture_output=True, text=True)
    return version.stdout.strip().split(".")[0] == "12"


def limit(count, reference):
    return count * 1.01 + 1 if reference else count * 1.10 + 2


def table(counts, budget):
    lines = [f"{'instructions an iteration':40} {'now':>8} {'golden':>8}"]
    for path, count in counts.items():
        lines.append(f"{path:40} {count:8.1f} {budget.get(path, 0):8.1f}")
    return "\n".join(lines)


def update():
    counts = measured()
    with open(os.path.realpath(GOLDEN), "w") as file:
        file.write("# Instructions an iteration, loop included; see "
                   "instruction_budget_test.py.\n")
        for path, count in counts.items():
            file.write(f"{path:40} {count:8.1f}\n")
    print(table(counts, counts))


class InstructionBudgetTest(unittest.TestCase):
    def test_every_hot_path_is_within_its_budget(self):
        if shutil.which("valgrind") is None:
            self.skipTest("valgrind is not installed")
        budget = golden()
        counts = measured()
        reference = reference_compiler()
        print(table(counts, budget), flush=True)
        self.assertEqual(sorted(counts), sorted(budget),
                         "the golden file lists other paths; run --update")
        over = [f"{path}: {count:.1f}, allowed {limit(budget[path], reference):.1f}"
                for path, count in counts.items()
                if count > limit(budget[path], reference)]
        self.assertEqual(over, [])

    def test_a_path_over_its_budget_is_found(self):
        self.assertGreater(45, limit(43, True))
        self.assertLessEqual(44, limit(43, True))
        self.assertGreater(50, limit(43, False))
        self.assertLessEqual(49, limit(43, False))


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        update()
    else:
        unittest.main(verbosity=2)
