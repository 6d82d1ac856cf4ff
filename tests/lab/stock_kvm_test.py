#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every test with the tag stock_kvm in the lab; its cases become this one's."""

import os
import sys

sys.path.insert(0, "tests")
from repository import root  # noqa: E402

sys.path.insert(0, os.path.join(root(), "tools", "lib"))
import stock_kvm_lab  # noqa: E402
from lab import jobs, packages, report, session  # noqa: E402


def main():
    xml_path = os.environ.get("XML_OUTPUT_FILE", os.devnull)
    try:
        folder = packages.get(stock_kvm_lab.say)
    except packages.Unavailable as error:
        return stock_kvm_lab.unavailable(error, xml_path)
    found = jobs.from_runfiles(os.path.dirname(os.getcwd()))
    sheet = report.Report(found)
    session.run(folder, os.path.abspath("tests/lab"), found, sheet, stock_kvm_lab.say)
    sheet.junit().write(xml_path)
    return stock_kvm_lab.summary(sheet.results)


if __name__ == "__main__":
    sys.exit(main())
