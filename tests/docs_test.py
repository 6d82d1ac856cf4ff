#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What README.md, CHANGELOG.md and docs/ say exists: code, commands, links.

A ```cpp block is preceded by a line `<!-- snippet: PATH -->` and repeats
consecutive lines of that file, which a BUILD.bazel file names, so that it is
compiled. A ```sh block may name scripts of this repository, whose --help must
know the options given, and Bazel labels, which must exist. A link to a file, with
or without #heading, leads somewhere. `SomeTest.Name` is a test case.
"""

import functools
import os
import re
import subprocess
import unittest

from repository import files, root

BLOCK = re.compile(r"(?:<!-- snippet: (?P<path>\S+) -->\n+)?"
                   r"^```(?P<language>\w*)\n(?P<text>.*?)^```$",
                   re.MULTILINE | re.DOTALL)
SCRIPT = re.compile(r"(?<![\w./-])(?:\./)?((?:tools|\.ci)/[\w.-]+)([^\n|;&#]*)")
LABEL = re.compile(r"(?<![\w:])//([\w/.-]*)(?::([\w.-]+))?(?![\w:])")
LINK = re.compile(r"\]\(([^)\s]+)\)")
CASE = re.compile(r"`(\w+Test)\.(\w+)`")


def read(path):
    with open(os.path.join(root(), path)) as file:
        return file.read()


def exists(path):
    return os.path.exists(os.path.join(root(), path))


def snippet_problem(path, text):
    if path is None:
        return "a cpp block without <!-- snippet: PATH -->"
    if not exists(path):
        return f"a snippet of {path}, which does not exist"
    if f"\n{text}" not in f"\n{read(path)}":
        return f"a snippet that differs from {path}"
    build = os.path.join(os.path.dirname(path), "BUILD.bazel")
    if not exists(build) or f'"{os.path.basename(path)}"' not in read(build):
        return f"a snippet of {path}, which no target of {build} compiles"
    return None


def command_problems(text):
    for script, arguments in SCRIPT.findall(text):
        if not exists(script):
            yield f"{script}, which does not exist"
            continue
        usage = subprocess.run([os.path.join(root(), script), "--help"],
                               capture_output=True, text=True).stdout
        for option in re.findall(r"(?<!\S)--[\w-]+", arguments):
            if option not in usage and option != "--help":
                yield f"{script} {option}, which its --help does not know"
    for package, name in LABEL.findall(text):
        package = package.removesuffix("/...").removesuffix("...")
        build = os.path.join(package, "BUILD.bazel")
        if not package:
            continue
        if not exists(package) or name and not exists(build):
            yield f"//{package}, which is no package"
        elif name and not re.search(rf'name = "{re.escape(name)}"|"{re.escape(name)}"',
                                    read(build)):
            yield f"//{package}:{name}, which is no target"


def headings(path):
    """The anchors of a Markdown file, as GitHub makes them."""
    return [re.sub(r"[^\w\- ]", "", line.lstrip("#").strip().lower()).replace(" ", "-")
            for line in read(path).splitlines() if line.startswith("#")]


def link_problems(document, text):
    for target in LINK.findall(text):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        path = os.path.normpath(os.path.join(os.path.dirname(document), path)) \
            if path else document
        if not exists(path):
            yield f"a link to {path}, which does not exist"
        elif anchor and path.endswith(".md") and anchor not in headings(path):
            yield f"a link to {path}#{anchor}, which has no such heading"


@functools.lru_cache
def test_cases():
    """(suite, name) of every TEST, TEST_F and TEST_P."""
    found = set()
    for path in files("libvmm", "examples", "bench", "tests", endings=["_test.cc"]):
        found.update(re.findall(r"^TEST(?:_[FP])?\(\s*(\w+),\s*(\w+)\)", read(path),
                                re.MULTILINE))
    return found


def case_problems(text):
    for suite, name in CASE.findall(text):
        if (suite, name) not in test_cases():
            yield f"{suite}.{name}, which is no test"


def problems(document, text):
    found = []
    for block in BLOCK.finditer(text):
        if block["language"] in ("cpp", "c++", "cc"):
            found.append(snippet_problem(block["path"], block["text"]))
        elif block["language"] in ("sh", "bash", "console", "shell"):
            found += command_problems(block["text"])
    prose = BLOCK.sub("", text)
    found += link_problems(document, prose)
    found += case_problems(prose)
    return [f"{document} has {problem}" for problem in found if problem]


class DocsTest(unittest.TestCase):

    def test_documents_say_what_exists(self):
        documents = files("docs", endings=[".md"])
        documents += [path for path in ("README.md", "CHANGELOG.md") if exists(path)]
        self.assertGreater(len(documents), 0)
        found = [problem for path in documents for problem in problems(path, read(path))]
        if found:
            self.fail("\n" + "\n".join(found))

    def test_problems_are_seen(self):
        own = "bench/statistics.h"
        for text, part in [
            ("```cpp\nint x;\n```\n", "without <!-- snippet"),
            ("<!-- snippet: no.cc -->\n```cpp\nint x;\n```\n", "does not exist"),
            (f"<!-- snippet: {own} -->\n```cpp\nint x;\n```\n", "differs from"),
            ("<!-- snippet: LICENSE -->\n```cpp\n\n```\n", "no target of"),
            ("```sh\ntools/no_such --x\n```\n", "does not exist"),
            ("```sh\n$ tools/test --no-such\n```\n", "--help does not know"),
            ("```sh\nbazel test //no/such/...\n```\n", "is no package"),
            ("```sh\nbazel build //bench:no_such\n```\n", "is no target"),
            ("[x](nowhere.md)", "does not exist"),
            ("[x](#nowhere)", "no such heading"),
            ("`UnknownTest.DoesNothing`", "is no test"),
        ]:
            found = problems("docs/dependencies.md", text)
            self.assertEqual(len(found), 1, (text, found))
            self.assertIn(part, found[0])

    def test_what_exists_passes(self):
        own = "bench/statistics.h"
        lines = "".join(read(own).splitlines(keepends=True)[4:9])
        for text in [
            f"<!-- snippet: {own} -->\n\n```cpp\n{lines}```\n",
            "```sh\ntools/test --config=asan //bench/... && tools/coverage --min 90\n```\n",
            "```sh\nbazel build //bench:twin //...\n```\n",
            "[x](../LICENSE) [y](https://example.org/a)",
            "`VirtqueueConcurrencyTest.NoKickAndNoInterruptIsLost`",
            "```text\nanything //at/all\n```\n",
        ]:
            self.assertEqual(problems("docs/dependencies.md", text), [])


if __name__ == "__main__":
    unittest.main()
