#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""//examples/sandbox_run as its user meets it: streams, files, exit codes, time limits
and signals."""

import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
import unittest

RUN = os.path.abspath("examples/sandbox_run/sandbox_run")
FAULTS = os.path.abspath("examples/sandbox_run/faults")
BUSYBOX = os.path.abspath("libvmm/sandbox/program/busybox")
LIMIT = 120  # seconds, before a test gives up


def run(*arguments, **more):
    return subprocess.run([RUN, *arguments], capture_output=True, timeout=LIMIT,
                          stdin=more.pop("stdin", subprocess.DEVNULL if "input" not in more
                                         else None), **more)


class WithoutKvmTest(unittest.TestCase):

    def test_help(self):
        done = run("--help")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"usage: sandbox_run [options] -- PROGRAM", done.stdout)

    def test_what_cannot_be_run(self):
        with tempfile.NamedTemporaryFile() as text:
            text.write(b"#!/bin/sh\n" * 100)
            text.flush()
            for arguments, code, says in (
                    ((), 125, b"no program"),
                    (("--nonsense",), 125, b"what is --nonsense? See --help"),
                    (("--timeout", "x", BUSYBOX), 125, b"--timeout takes a time"),
                    (("--memory", "x", BUSYBOX), 125, b"--memory takes MiB"),
                    (("/no/such",), 127, b"open(/no/such)"),
                    (("no-such-program",), 127, b"open(no-such-program)"),
                    ((text.name,), 126, b"expected 7f 45 4c 46"),
                    (("/proc/self/exe",), 126, b"PT_INTERP")):
                done = run(*arguments)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertIn(says, done.stderr)
                self.assertTrue(done.stderr.startswith(b"sandbox_run: "))
                self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
                self.assertEqual(done.stdout, b"")


class SandboxTestCase(unittest.TestCase):

    def setUp(self):
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            if os.environ.get("LIBVMM_REQUIRE_KVM") == "1":
                self.fail("/dev/kvm cannot be opened")
            self.skipTest("/dev/kvm cannot be opened")

    def start(self, *arguments, **more):
        process = subprocess.Popen([RUN, *arguments], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, **more)
        self.addCleanup(self.stop, process)
        return process

    @staticmethod
    def stop(process):
        if process.poll() is None:
            process.kill()
        process.communicate()


class StreamsTest(SandboxTestCase):

    def test_input_output_errors_and_exit_code_pass_through(self):
        done = run("--", BUSYBOX, "sh", "-c",
                   "read a b; echo $b; echo $a >&2; exit 42", input=b"one two\n")
        self.assertEqual((done.returncode, done.stdout, done.stderr), (42, b"two\n", b"one\n"))

    def test_bytes_are_the_same(self):
        data = bytes(range(256)) * 4096
        done = run("--", BUSYBOX, "cat", input=data)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertTrue(done.stdout == data)

    def test_input_that_comes_later(self):
        process = self.start("--", BUSYBOX, "sh", "-c", "echo go; read a; echo got $a",
                             stdin=subprocess.PIPE)
        self.assertEqual(process.stdout.readline(), b"go\n")
        process.stdin.write(b"it\n")
        process.stdin.flush()
        self.assertEqual(process.stdout.readline(), b"got it\n")
        self.assertEqual(process.wait(LIMIT), 0)

    def test_a_reader_that_has_gone_ends_it_as_it_would_end_the_program(self):
        process = self.start("--", BUSYBOX, "yes", stdin=subprocess.DEVNULL)
        self.assertEqual(process.stdout.readline(), b"y\n")
        process.stdout.close()
        self.assertEqual(process.wait(LIMIT), -signal.SIGPIPE)

    def test_a_name_is_looked_up(self):
        done = run("--", "busybox", "echo", "hi",
                   env={"PATH": f"/no/such:{os.path.dirname(BUSYBOX)}"})
        self.assertEqual((done.returncode, done.stdout), (0, b"hi\n"), done.stderr)


class TerminalTest(SandboxTestCase):

    def setUp(self):
        super().setUp()
        self.master, self.slave = pty.openpty()
        self.addCleanup(os.close, self.master)
        self.addCleanup(os.close, self.slave)
        self.before = termios.tcgetattr(self.slave)
        self.screen = b""

    def on_terminal(self, *arguments):
        # The slave becomes its controlling terminal, since it opens it first.
        process = subprocess.Popen(
            [sys.executable, "-c", "import os, sys; os.close(os.open(sys.argv[1], os.O_RDWR));"
             " os.execv(sys.argv[2], sys.argv[2:])", os.ttyname(self.slave), RUN, *arguments],
            stdin=self.slave, stdout=self.slave, stderr=self.slave, start_new_session=True)
        self.addCleanup(lambda: (process.kill(), process.wait()))
        return process

    def read_until(self, text):
        end = time.monotonic() + LIMIT
        while text not in self.screen:
            ready, _, _ = select.select([self.master], [], [], max(end - time.monotonic(), 0))
            self.assertTrue(ready, f"no {text!r} in {self.screen!r}")
            self.screen += os.read(self.master, 4096)
        _, _, self.screen = self.screen.partition(text)

    def type(self, keys):
        os.write(self.master, keys)

    def test_a_shell_edits_lines(self):
        process = self.on_terminal("--", BUSYBOX, "sh")
        self.read_until(b"/ # ")
        self.type(b"echo abX\b$((40 + 2))\r")
        self.read_until(b"ab42\r\n/ # ")
        self.assertNotEqual(termios.tcgetattr(self.slave), self.before)
        self.type(b"exit 6\r")
        self.assertEqual(process.wait(LIMIT), 6)
        self.assertEqual(termios.tcgetattr(self.slave), self.before)

    def test_ctrl_c_ends_it_at_any_time(self):
        for keys, before in ((b"", b"/ # "), (b"while :; do :; done\r", b"done\r\n"),
                             (b"echo a; read a\r", b"\na\r\n")):
            with self.subTest(keys):
                process = self.on_terminal("--", BUSYBOX, "sh")
                self.screen = b""
                self.read_until(b"/ # ") if keys else None
                self.type(keys)
                self.read_until(before)
                self.type(b"\x03")
                self.assertEqual(process.wait(LIMIT), 130)
                self.assertEqual(termios.tcgetattr(self.slave), self.before)

    def test_the_window_has_its_size(self):
        termios.tcsetwinsize(self.slave, (33, 77))
        process = self.on_terminal("--", BUSYBOX, "stty", "size")
        self.read_until(b"33 77\r\n")
        self.assertEqual(process.wait(LIMIT), 0)


class FilesTest(SandboxTestCase):

    def test_files_are_copies(self):
        with tempfile.TemporaryDirectory() as directory:
            os.mkdir(f"{directory}/sub")
            with open(f"{directory}/sub/file", "w") as file:
                file.write("before\n")
            done = run("--files", f"{directory}=/a/b", "--", BUSYBOX, "sh", "-c",
                       "cd a/b/sub; echo after >> file; echo x > new; exec sort file")
            self.assertEqual((done.returncode, done.stdout), (0, b"after\nbefore\n"),
                             done.stderr)
            with open(f"{directory}/sub/file") as file:
                self.assertEqual(file.read(), "before\n")
            self.assertEqual(os.listdir(f"{directory}/sub"), ["file"])
            done = run("--files", directory, "--", BUSYBOX, "cat", "/sub/file")
            self.assertEqual((done.returncode, done.stdout), (0, b"before\n"), done.stderr)

    def test_there_is_nothing_else(self):
        done = run("--", BUSYBOX, "find", "/")
        self.assertEqual(sorted(done.stdout.split()),
                         [b"/", b"/dev", b"/dev/full", b"/dev/null", b"/dev/random",
                          b"/dev/urandom", b"/dev/zero", b"/tmp"])
        done = run("--", BUSYBOX, "cat", __file__)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"No such file", done.stderr)

    def test_a_directory_that_is_not_there(self):
        done = run("--files", "/no/such", "--", BUSYBOX, "true")
        self.assertEqual(done.returncode, 125)
        self.assertIn(b"sandbox_run: --files: ", done.stderr)
        self.assertIn(b"/no/such", done.stderr)

    def test_the_environment_is_what_is_given(self):
        done = run("--env", "A=1", "--env", "B=x y", "--", BUSYBOX, "env")
        self.assertEqual((done.returncode, done.stdout), (0, b"A=1\nB=x y\n"))


class EndsTest(SandboxTestCase):

    def expect(self, code, says, *arguments):
        done = run(*arguments)
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertIn(says, done.stderr)
        return done

    def test_faults_are_told_with_registers(self):
        for how, number, says in (
                ("write", signal.SIGSEGV, b"page fault (write) at 0x10, in main"),
                ("overflow", signal.SIGSEGV, b"page fault (write)"),
                ("divide", signal.SIGFPE, b"divide"),
                ("undefined", signal.SIGILL, b"invalid opcode"),
                ("abort", signal.SIGABRT, b"signal 6"),
                ("pause", signal.SIGKILL, b"waits for ever in system call 34 pause")):
            done = self.expect(128 + number, says, "--", FAULTS, how)
            self.assertRegex(done.stderr.decode(), r"rip [0-9a-f]{16}  rsp [0-9a-f]{16}")
            self.assertEqual(done.stdout, b"")

    def test_out_of_memory(self):
        # The program's own malloc fails, or the memory does.
        done = run("--memory", "16M", "--", FAULTS, "hoard")
        self.assertIn(done.returncode, (3, 128 + signal.SIGKILL), done.stderr)

    def test_time_limits_end_what_computes_sleeps_or_reads(self):
        reads, writes = os.pipe()
        for arguments in ((FAULTS, "loop"), (BUSYBOX, "sleep", "1000"),
                          (BUSYBOX, "cat")):
            with self.subTest(arguments):
                done = run("--timeout", "300ms", "--", *arguments, stdin=reads)
                self.assertEqual(done.returncode, 124, done.stderr)
                self.assertIn(b"--timeout was reached", done.stderr)
        os.close(reads)
        os.close(writes)

    def test_a_limit_that_is_not_reached_does_nothing(self):
        done = run("--timeout", "100s", "--", BUSYBOX, "sleep", "0.1")
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_sleeps_take_their_time(self):
        begin = time.monotonic()
        done = run("--", BUSYBOX, "sleep", "0.5")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertGreaterEqual(time.monotonic() - begin, 0.5)

    def test_signals_end_what_computes_sleeps_or_reads(self):
        shell = (BUSYBOX, "sh", "-c")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            for arguments in ((*shell, "echo go; while :; do :; done"),
                              (*shell, "echo go; read a"), (FAULTS, "sleep")):
                with self.subTest(number=number, arguments=arguments):
                    process = self.start("--", *arguments, stdin=subprocess.PIPE)
                    self.assertEqual(process.stdout.readline(), b"go\n")
                    process.send_signal(number)
                    self.assertEqual(process.wait(LIMIT), 128 + number)

    def test_stats(self):
        done = run("--stats", "--", BUSYBOX, "sh", "-c", "echo abc > /tmp/f; exit 5")
        self.assertEqual(done.returncode, 5)
        self.assertRegex(done.stderr.decode(),
                         r"^sandbox_run: .* to load, .* to run; .* KiB resident .*\n$")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
