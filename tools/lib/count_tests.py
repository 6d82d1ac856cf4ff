"""Counts the test cases of finished `bazel test` runs, for tools/test.

usage: count_tests.py NAME:EXIT_CODE:BUILD_EVENTS_FILE...

Only what the build event file of a run names is counted, so that results which
an earlier run left on disk are not. A case is a <testcase> of the JUnit XML that
the test wrote; Bazel writes one with a single case for what is not googletest.
"""

import collections
import json
import os
import re
import sys
import urllib.parse
import xml.etree.ElementTree as xml

BAZEL_OK, BAZEL_TESTS_FAILED, BAZEL_NO_TESTS = 0, 3, 4
LOGS_AT_END, LINES_OF_A_LOG = 5, 20


class Run:
    def __init__(self, name):
        self.name = name
        self.passed = 0
        self.failures = []  # (what, where to look)
        self.skips = []  # (reason, what)

    def add_case(self, label, case, log):
        suite = case.get("classname")
        what = f"{label} {suite}.{case.get('name')}" if suite else label
        skipped = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            self.failures.append((what, log))
        elif skipped is not None or case.get("status") == "notrun":
            # googletest puts "file:line\nreason" there, and nothing for a
            # test whose name starts with DISABLED_.
            text = "" if skipped is None else skipped.get("message", "")
            reason = re.sub(r"^\S+:\d+\s+", "", text).strip()
            self.skips.append((reason or "disabled", what))
        else:
            self.passed += 1

    def add_target(self, label, result):
        files = {
            output["name"]: urllib.parse.unquote(output["uri"])[len("file://"):]
            for output in result.get("testActionOutput", [])
        }
        log = files.get("test.log", "no log")
        status = result.get("status", "NO_STATUS")
        failures_before = len(self.failures)
        try:
            for case in xml.parse(files["test.xml"]).iter("testcase"):
                self.add_case(label, case, log)
        except (KeyError, OSError, xml.ParseError) as error:
            if status == "PASSED":
                self.failures.append((f"{label} left no readable XML: {error}", log))
        # A leak found at exit, a timeout: the cases do not know.
        if status != "PASSED" and len(self.failures) == failures_before:
            self.failures.append((f"{label} {status}", log))


def read_events(path):
    try:
        with open(path) as lines:
            return [json.loads(line) for line in lines]
    except (OSError, json.JSONDecodeError):
        return []


def count(name, exit_code, events):
    run = Run(name)
    results = {}
    for event in events:
        kind = event["id"]
        if "testResult" in kind:
            key = kind["testResult"]
            results[key["label"], key.get("run"), key.get("shard")] = event["testResult"]
        elif "targetCompleted" in kind and not event.get("completed", {}).get("success"):
            label = kind["targetCompleted"]["label"]
            # Tests that were asked for but not run because the build stopped
            # early arrive here too.
            run.failures.append((f"{label} was not built", "see Bazel's output above"))
    for (label, _, _), result in results.items():
        run.add_target(label, result)
    if (exit_code not in (BAZEL_OK, BAZEL_TESTS_FAILED, BAZEL_NO_TESTS)
            and not run.failures):
        run.failures.append((f"bazel test exited with code {exit_code}",
                             "see Bazel's output above"))
    return run


def report(run):
    print(f"\n== {run.name}")
    reasons = collections.defaultdict(list)
    for reason, what in run.skips:
        reasons[reason].append(what)
    for reason, cases in sorted(reasons.items()):
        print(f"skipped ({len(cases)}): {reason}")
        for what in cases:
            print(f"    {what}")
    for what, log in run.failures:
        print(f"FAILED: {what}\n    {log}")


def report_failures(runs):
    """Once more at the end, where a log that is cut short still has them."""
    failures = [(run.name, *failure) for run in runs for failure in run.failures]
    logs = list(dict.fromkeys(log for _, _, log in failures))
    for log in logs[:LOGS_AT_END]:
        if os.path.isfile(log):
            with open(log, errors="replace") as lines:
                tail = collections.deque(lines, LINES_OF_A_LOG)
            print(f"\n== the end of {log}")
            sys.stdout.writelines(tail)
    print()
    for name, what, _ in failures:
        print(f"FAILED in {name}: {what}")


def summary(runs):
    passed = sum(run.passed for run in runs)
    failed = sum(len(run.failures) for run in runs)
    skipped = sum(len(run.skips) for run in runs)
    return passed, failed, f"{passed} passed, {failed} failed, {skipped} skipped"


def main(arguments):
    runs = []
    for argument in arguments:
        name, exit_code, path = argument.split(":", 2)
        runs.append(count(name, int(exit_code), read_events(path)))
    for run in runs:
        report(run)
    report_failures(runs)
    if len(runs) > 1:
        for run in runs:
            print(f"{run.name}: {summary([run])[2]}")
    passed, failed, line = summary(runs)
    print(line)
    return 0 if passed > 0 and failed == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
