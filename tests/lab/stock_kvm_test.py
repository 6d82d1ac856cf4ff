#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs every test with the tag stock_kvm in the lab; its cases become this one's."""

import os
import sys
import xml.etree.ElementTree as xml

sys.path.insert(0, "tests")
from repository import root  # noqa: E402

sys.path.insert(0, os.path.join(root(), "tools", "lib"))
import stock_kvm_lab  # noqa: E402
from lab import jobs, packages, report, session  # noqa: E402


def skip(reason):
    """One counted skip, in the format that tools/test reads."""
    suites = xml.Element("testsuites")
    case = xml.SubElement(xml.SubElement(suites, "testsuite", name="lab"),
                          "testcase", name="all", classname="lab")
    xml.SubElement(case, "skipped", message=reason)
    return xml.ElementTree(suites)


def main():
    xml_path = os.environ.get("XML_OUTPUT_FILE", os.devnull)
    try:
        folder = packages.get(stock_kvm_lab.say)
    except packages.Unavailable as error:
        print(error)
        skip(str(error)).write(xml_path)
        return 1 if os.environ.get("LIBVMM_REQUIRE_KVM") == "1" else 0
    found = jobs.from_runfiles(os.path.dirname(os.getcwd()))
    sheet = report.Report(found)
    session.run(folder, os.path.abspath("tests/lab"), found, sheet, stock_kvm_lab.say)
    sheet.junit().write(xml_path)
    return stock_kvm_lab.summary(sheet.results)


if __name__ == "__main__":
    sys.exit(main())
