#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every public header compiles alone, without exceptions and RTTI, under g++ and
clang with warnings as errors; and clang's lock analysis accepts the library.

A header that its own .cc includes first is compiled alone by compiling that: for
g++ the build has done so already, clang does it here. For the others a source
file with nothing but the #include is made."""

import concurrent.futures
import os
import re
import subprocess
import tempfile
import unittest

from repository import files, root

FLAGS = ("-std=c++20 -fno-exceptions -fno-rtti -Wall -Wextra -Wpedantic -Wshadow "
         "-Werror -Wfatal-errors -fsyntax-only").split()
GCC = ["g++", *FLAGS]
CLANG = ["clang++", *FLAGS, "-Wthread-safety"]
NOT_PUBLIC = re.compile(r"^libvmm/testing/|/internal/|/testdata/|_(test|fuzz)(_[a-z_]+)?\.")


def complaint(command):
    """What the compiler says, or None when it is content."""
    run = subprocess.run([*command, "-I" + root()], capture_output=True, text=True)
    return None if run.returncode == 0 else f"{' '.join(command)}\n{run.stderr}"


def complaints(commands):
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return [text for text in pool.map(complaint, commands) if text]


def read(path):
    with open(os.path.join(root(), path)) as file:
        return file.read()


def public_files(ending):
    # A header with an #error about inclusion is a part of the one that it names.
    return [path for path in files("libvmm", endings=[ending])
            if not NOT_PUBLIC.search(path) and '#error "include' not in read(path)]


def has_own_source(header):
    source = header[:-len(".h")] + ".cc"
    if not os.path.exists(os.path.join(root(), source)):
        return False
    first = re.search(r'^#include ["<](.*)[">]', read(source), re.MULTILINE)
    return first is not None and first[1] == header


class HeadersTest(unittest.TestCase):

    def check(self, compiler, sources):
        headers = [path for path in public_files(".h") if not has_own_source(path)]
        self.assertGreater(len(headers), 3)
        with tempfile.TemporaryDirectory() as folder:
            commands = [[*compiler, os.path.join(root(), path)] for path in sources]
            for header in headers:
                source = os.path.join(folder, header.replace("/", "_") + ".cc")
                with open(source, "w") as file:
                    # Twice, for the include guard.
                    file.write(f'#include "{header}"\n' * 2)
                commands.append([*compiler, source])
            found = complaints(commands)
        if found:
            self.fail("\n".join(found))

    def test_each_header_compiles_alone_with_gcc(self):
        self.check(GCC, [])

    def test_each_header_and_source_passes_clang_and_its_lock_analysis(self):
        self.check(CLANG, public_files(".cc"))

    def test_what_must_not_compile_is_refused(self):
        locks = ('#include "libvmm/base/mutex.h"\n'
                 "struct S { libvmm::Mutex m; int x ABSL_GUARDED_BY(m); };\n"
                 "int Get(S& s) { return s.x; }\n")
        with tempfile.NamedTemporaryFile("w", suffix=".cc") as source:
            source.write(locks)
            source.flush()
            self.assertIn("requires holding mutex", complaint([*CLANG, source.name]))
            source.write("int F() { try { return 1; } catch (int) { return 2; } }\n")
            source.flush()
            self.assertIn("exception", complaint([*GCC, source.name]))


if __name__ == "__main__":
    unittest.main()
