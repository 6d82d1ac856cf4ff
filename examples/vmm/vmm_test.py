#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""//examples/vmm as its user meets it: on a pseudo-terminal, in pipes, ended in every
way. The guest is examples/vmm/guest, which does what is typed."""

import os
import pty
import re
import select
import signal
import subprocess
import sys
import tempfile
import termios
import time
import unittest

VMM = os.path.abspath("examples/vmm/vmm")
GUEST = os.path.abspath("examples/vmm/guest/guest.elf")
DEBIAN = os.path.abspath("examples/vmm/debian.txtpb")
SMALL = ("--elf", GUEST, "--memory", "16", "--exit-port", "--no-reboot")
LIMIT = 60  # seconds, before a test gives up

ESCAPE = b"\x01"


def link_is_static():
    """A build with a sanitizer is not, and takes more memory."""
    with open(VMM, "rb") as file:
        return b"/ld-linux-x86-64.so" not in file.read(4096)


class Terminal:
    """vmm on a pseudo-terminal, which is its controlling terminal."""

    def __init__(self, *arguments, **popen):
        self.master, self.slave = pty.openpty()
        self.before = termios.tcgetattr(self.slave)
        self.screen = b""
        popen = {"stdin": self.slave, "stdout": self.slave, "stderr": self.slave,
                 "start_new_session": True} | popen
        self.process = subprocess.Popen([VMM, *arguments], **popen)

    def read_until(self, text, fd=None):
        fd = self.master if fd is None else fd
        end = time.monotonic() + LIMIT
        while text not in self.screen:
            left = end - time.monotonic()
            ready, _, _ = select.select([fd], [], [], max(left, 0))
            if not ready:
                raise AssertionError(f"no {text!r} in {self.screen!r}")
            try:
                part = os.read(fd, 4096)
            except OSError:  # EIO: the other side is gone
                part = b""
            if not part:
                raise AssertionError(f"ended without {text!r}: {self.screen!r}")
            self.screen += part

    def type(self, keys):
        os.write(self.master, keys)

    def is_raw(self):
        return termios.tcgetattr(self.slave)[3] & (termios.ICANON | termios.ECHO |
                                                   termios.ISIG) == 0

    def is_restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def wait(self):
        return self.process.wait(LIMIT)

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.master)
        os.close(self.slave)


class VmmTestCase(unittest.TestCase):

    def terminal(self, *arguments, **popen):
        opened = Terminal(*arguments, **popen)
        self.addCleanup(opened.close)
        return opened

    def run_vmm(self, *arguments, keys=b"", **popen):
        return subprocess.run([VMM, *arguments], input=keys, capture_output=True,
                              timeout=LIMIT, **popen)

    def folder(self):
        # Not in the test's own, whose name may be too long for a socket in it.
        folder = tempfile.TemporaryDirectory(dir="/tmp")
        self.addCleanup(folder.cleanup)
        return folder.name

    def file(self, content):
        file = tempfile.NamedTemporaryFile()
        self.addCleanup(file.close)
        file.write(content)
        file.flush()
        return file.name


class WithoutKvmTest(VmmTestCase):

    def test_help_names_every_option(self):
        done = self.run_vmm("--help")
        self.assertEqual((done.returncode, done.stderr), (0, b""))
        self.assertIn(b"usage: vmm --kernel FILE", done.stdout)

    def test_wrong_usage_is_code_2_and_one_line(self):
        for arguments, text in (((), b"vmm: nothing to boot"),
                                (("--nonsense",), b"vmm: what is --nonsense?"),
                                (("--memory", "0"), b"vmm: --memory 0: memory.size_mib"),
                                (("--config", self.file(b"x: 1")), b": line 1, column 2")):
            done = self.run_vmm(*arguments)
            self.assertEqual(done.returncode, 2, arguments)
            self.assertIn(text, done.stderr)
            self.assertEqual(done.stderr.count(b"\n"), 1, done.stderr)
            self.assertEqual(done.stdout, b"")

    def test_a_config_that_is_not_there_is_an_error_of_the_host(self):
        done = self.run_vmm("--config", "/no/such.txtpb")
        self.assertEqual(done.returncode, 126)
        self.assertIn(b"vmm: --config: open(/no/such.txtpb)", done.stderr)

    def test_help_to_a_closed_pipe_ends(self):
        reader, writer = os.pipe()
        os.close(reader)
        process = subprocess.Popen([VMM, "--help"], stdout=writer,
                                   stderr=subprocess.DEVNULL)
        os.close(writer)
        process.wait(LIMIT)


@unittest.skipUnless(os.access("/dev/kvm", os.W_OK) or
                     os.environ.get("LIBVMM_REQUIRE_KVM") == "1",
                     "/dev/kvm cannot be opened")
class KvmTestCase(VmmTestCase):
    pass


class ExitCodeTest(KvmTestCase):

    def test_every_way_a_guest_can_stop(self):
        for key, code, line in ((b"q", 0, b"power-off (ACPI PM1a)"),
                                (b"r", 3, b"reset (port 0xcf9)"),
                                (b"p", 4, b"panic (pvpanic)"),
                                (b"t", 5, b"triple fault (KVM_EXIT_SHUTDOWN)"),
                                (b"h", 6, b"halted (HLT with interrupts off)"),
                                (b"s", 8, b"sleep (ACPI PM1a)"),
                                (b"e", 15, b"exit code ")):
            with self.subTest(key=key):
                done = self.run_vmm(*SMALL, keys=key)
                self.assertEqual(done.returncode, code, done.stderr)
                self.assertEqual(done.stdout, b"ready\r\n")
                self.assertIn(b"vmm: " + line, done.stderr.splitlines()[-1])

    def test_quiet_says_nothing(self):
        done = self.run_vmm(*SMALL, "--quiet", keys=b"q")
        self.assertEqual((done.returncode, done.stderr), (0, b""))

    def test_progress_is_a_line_for_each_step(self):
        done = self.run_vmm(*SMALL, "--smp", "2", keys=b"q")
        self.assertEqual(done.stderr.decode().splitlines(),
                         ["vmm: making 16 MiB of memory", "vmm: making 2 vCPUs",
                          f"vmm: reading the program {GUEST}",
                          "vmm: power-off (ACPI PM1a)"])

    def test_missing_and_wrong_files_are_code_126(self):
        for option in ("--kernel", "--multiboot", "--firmware", "--elf"):
            for path in ("/no/such", self.file(b"\x7fELF"), self.file(b"")):
                done = self.run_vmm(option, path, "--memory", "16")
                self.assertEqual(done.returncode, 126, (option, done.stderr))
                self.assertIn(b"vmm: boot.", done.stderr.splitlines()[-1])

    def test_virtio_devices_are_made_and_given_back(self):
        folder = self.folder()
        socket = os.path.join(folder, "v")
        disk = self.file(bytes(1 << 20))
        for transport in ((), ("--virtio-mmio",), ("--no-pci", "--split-rings")):
            for doorbell in ("inline", "eventfd", "poll"):
                with self.subTest(transport=transport, doorbell=doorbell):
                    done = self.run_vmm(
                        *SMALL, "--quiet", *transport, "--doorbell", doorbell,
                        "--disk", disk, "--disk", disk + ",ro,cache=unsafe,queues=2",
                        "--net", "user", "--vsock", "3,uds=" + socket, "--share",
                        folder + ":folder,ro", "--rng", "--balloon=4", keys=b"q")
                    self.assertEqual((done.returncode, done.stderr), (0, b""))
                    self.assertEqual(done.stdout, b"ready\r\n")
                    self.assertFalse(os.path.exists(socket))

    def test_two_machines_on_a_cable(self):
        cable = os.path.join(self.folder(), "c")
        words = (VMM, *SMALL, "--net", "pair=" + cable)
        first = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                 stderr=subprocess.PIPE)
        self.addCleanup(first.stderr.close)
        self.assertEqual(first.stderr.readline(),
                         f"vmm: waiting for the other end of {cable}\n".encode())
        second = self.run_vmm(*words[1:], keys=b"q")
        self.assertEqual(second.returncode, 0, second.stderr)
        output, _ = first.communicate(b"q", timeout=LIMIT)
        self.assertEqual((first.returncode, output), (0, b"ready\r\n"))

    def test_ctrl_c_ends_the_wait_for_a_cable(self):
        cable = os.path.join(self.folder(), "c")
        vmm = subprocess.Popen((VMM, *SMALL, "--net", "pair=" + cable),
                               stderr=subprocess.PIPE)
        self.addCleanup(vmm.stderr.close)
        vmm.stderr.readline()
        vmm.send_signal(signal.SIGINT)
        self.assertEqual(vmm.wait(LIMIT), -signal.SIGINT)

    def test_what_stands_behind_a_device_and_is_not_there_is_code_126(self):
        for option, value, text in (
                ("--disk", "/no/such", b"virtio.disks[0]: open(/no/such)"),
                ("--disk", "/dev/null", b"virtio.disks[0]: /dev/null"),
                ("--share", "/no/such:t", b"virtio.shares[0]: "),
                ("--vsock", "3,uds=/no/such/v", b"virtio.vsock: "),
                ("--net", "pair=/no/such/c", b"--net pair: ")):
            done = self.run_vmm(*SMALL, "--quiet", option, value)
            self.assertEqual(done.returncode, 126, (option, done.stderr))
            self.assertIn(b"vmm: " + text, done.stderr)

    def test_check_says_whether_systems_run(self):
        done = self.run_vmm("--check")
        self.assertIn((done.returncode, b"can run" in done.stdout),
                      ((0, True), (1, False)))

    def test_stats_count_what_the_guest_did(self):
        done = self.run_vmm(*SMALL, "--stats", keys=b"q")
        table = done.stderr.decode().split("\nexit ")[1].splitlines()
        rows = {line.rsplit(None, 1)[0]: int(line.rsplit(None, 1)[1])
                for line in table[1:] if not line.startswith("vmm:")}
        # r, e, a, d, y, CR, LF
        self.assertEqual(rows["KVM_EXIT_IO write 0x3f8"], 7)
        self.assertEqual(rows["KVM_EXIT_IO read 0x3f8"], 1)
        self.assertEqual(rows["KVM_EXIT_IO write 0x604"], 1)
        self.assertEqual(sum(rows.values()), 2 * rows["all"])


class PipeTest(KvmTestCase):

    def test_more_input_than_the_uart_holds_all_arrives(self):
        done = self.run_vmm(*SMALL, keys=b"0123456789" * 5 + b"q")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(re.findall(rb"<(.)>", done.stdout), [
            bytes([key]) for key in b"0123456789" * 5])

    def test_escape_works_in_a_pipe(self):
        done = self.run_vmm(*SMALL, keys=b"a" + ESCAPE + b"x")
        self.assertEqual(done.returncode, 130)

    def test_end_of_input_does_not_spin(self):
        with Terminal(*SMALL, stdin=subprocess.DEVNULL,
                      stdout=subprocess.PIPE).process as process:
            # The guest polls for ever; the loop's thread has nothing to do.
            self.assertEqual(process.stdout.read(7), b"ready\r\n")
            before = self.loop_reads(process.pid)
            time.sleep(1)  # no limit: what is counted below is calls
            reads = self.loop_reads(process.pid) - before
            process.terminate()
            self.assertEqual(process.wait(LIMIT), 143)
            # A look at whether all have halted, each second.
            self.assertLess(reads, 50)

    @staticmethod
    def loop_reads(pid):
        with open(f"/proc/{pid}/task/{pid}/io") as file:
            return int(re.search(r"syscr: (\d+)", file.read())[1])

    def test_reader_that_is_gone_ends_it(self):
        reader, writer = os.pipe()
        process = subprocess.Popen([VMM, *SMALL], stdin=subprocess.PIPE, stdout=writer,
                                   stderr=subprocess.PIPE)
        os.close(writer)
        os.close(reader)
        _, error = process.communicate(b"abcdef", LIMIT)
        self.assertEqual(process.returncode, 126)
        self.assertIn(b"vmm: write(the guest's output): EPIPE", error)

    def test_reader_that_does_not_read_does_not_hold_it_up(self):
        reader, writer = os.pipe()
        self.addCleanup(os.close, reader)
        # Nothing is left of the pipe's room.
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, b"x")
        except BlockingIOError:
            pass
        os.set_blocking(writer, True)
        process = subprocess.Popen([VMM, *SMALL], stdin=subprocess.PIPE, stdout=writer,
                                   stderr=subprocess.PIPE)
        os.close(writer)
        self.wait_for_blocked_output(process.pid)
        process.terminate()
        self.assertEqual(process.wait(LIMIT), 143)
        process.communicate()


    def wait_for_blocked_output(self, pid):
        """Until a thread beside the loop's is inside poll(2), x86-64's call 7."""
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/syscall") as file:
                    if file.read().startswith("7 ") and task != str(pid):
                        return
            time.sleep(0.01)
        self.fail("the guest's output was not held up")


class TerminalTest(KvmTestCase):

    def running(self, *arguments, **popen):
        terminal = self.terminal(*SMALL, *arguments, **popen)
        terminal.read_until(b"ready\r\n")
        self.assertTrue(terminal.is_raw())
        return terminal

    def test_keys_reach_the_guest_and_its_answer_the_screen(self):
        terminal = self.running()
        # Ctrl-C and Ctrl-D are keys like others.
        terminal.type(b"a\x03\x04" + ESCAPE + ESCAPE + b"z")
        terminal.read_until(b"<a>\r\n<\x03>\r\n<\x04>\r\n<\x01>\r\n<z>\r\n")
        terminal.type(b"q")
        terminal.read_until(b"vmm: power-off (ACPI PM1a)\r\n")
        self.assertEqual(terminal.wait(), 0)
        self.assertTrue(terminal.is_restored())
        self.assertIn(b"vmm: running; Ctrl-A X ends it\r\n", terminal.screen)

    def test_terminal_is_restored_however_the_guest_stops(self):
        for key, code in ((b"q", 0), (b"r", 3), (b"p", 4), (b"t", 5), (b"e", 15)):
            with self.subTest(key=key):
                terminal = self.running()
                terminal.type(key)
                self.assertEqual(terminal.wait(), code)
                self.assertTrue(terminal.is_restored())

    def test_escape_x_ends_it(self):
        for keys in (b"x", b"X"):
            terminal = self.running()
            terminal.type(ESCAPE)
            terminal.type(keys)
            self.assertEqual(terminal.wait(), 130)
            self.assertTrue(terminal.is_restored())

    def test_escape_s_prints_the_exits_so_far(self):
        terminal = self.running()
        terminal.type(ESCAPE + b"s")
        terminal.read_until(b"KVM_EXIT_IO write 0x3f8")
        terminal.read_until(b"\r\nall ")
        terminal.type(b"q")
        self.assertEqual(terminal.wait(), 0)

    def test_escape_p_presses_the_power_button(self):
        terminal = self.running()
        terminal.type(b"w")
        terminal.read_until(b"waiting\r\n")
        terminal.type(ESCAPE + b"p")
        terminal.read_until(b"power button\r\n")
        self.assertEqual(terminal.wait(), 0)
        self.assertTrue(terminal.is_restored())

    def test_signals_that_ask_to_end_give_their_code(self):
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            with self.subTest(number=number):
                terminal = self.running()
                terminal.process.send_signal(number)
                self.assertEqual(terminal.wait(), 128 + number)
                self.assertTrue(terminal.is_restored())

    def test_signals_that_kill_do_so_behind_the_terminal_is_restored(self):
        for number in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE,
                       signal.SIGILL, signal.SIGQUIT, signal.SIGSYS):
            with self.subTest(number=number):
                terminal = self.running()
                terminal.process.send_signal(number)
                self.assertEqual(terminal.wait(), -number)
                self.assertTrue(terminal.is_restored())

    def test_host_error_at_the_start_restores_it(self):
        terminal = self.terminal("--kernel", "/no/such")
        terminal.read_until(b"vmm: boot.linux.kernel: open(/no/such)")
        self.assertEqual(terminal.wait(), 126)
        self.assertTrue(terminal.is_restored())

    def test_closed_output_restores_it(self):
        reader, writer = os.pipe()
        terminal = self.terminal(*SMALL, stdout=writer)
        os.close(writer)
        terminal.read_until(b"ready", reader)
        self.assertTrue(terminal.is_raw())
        os.close(reader)
        terminal.type(b"a")
        self.assertEqual(terminal.wait(), 126)
        self.assertTrue(terminal.is_restored())


    def test_a_reset_boots_again(self):
        terminal = self.terminal("--elf", GUEST, "--memory", "16")
        for _ in range(2):
            terminal.read_until(b"ready\r\n")
            terminal.screen = b""
            terminal.type(b"r")
            terminal.read_until(b"vmm: reset (port 0xcf9)\r\n")
        terminal.read_until(b"ready\r\n")
        terminal.type(b"q")
        self.assertEqual(terminal.wait(), 0)
        self.assertTrue(terminal.is_restored())


class ConfigTest(KvmTestCase):

    def test_options_behind_it_change_it(self):
        config = self.file(f'memory {{ size_mib: 32 }} devices {{ exit_port: true }}\n'
                           f'boot {{ elf {{ image: "{GUEST}" }} }}'.encode())
        done = self.run_vmm("--config", config, "--memory", "16M", "--smp", "2", keys=b"e")
        self.assertEqual(done.returncode, 15, done.stderr)
        self.assertIn(b"making 16 MiB", done.stderr)
        self.assertIn(b"making 2 vCPUs", done.stderr)

    def test_the_example_says_what_it_wants(self):
        # Its kernel is not here, so it gets as far as that.
        done = self.run_vmm("--config", DEBIAN, "--kernel", "/no/such", cwd="/")
        self.assertEqual(done.returncode, 126, done.stderr)
        self.assertEqual(done.stderr.decode().splitlines()[:3],
                         ["vmm: making 1024 MiB of memory", "vmm: making 2 vCPUs",
                          "vmm: reading the kernel /no/such"])


class MemoryTest(KvmTestCase):

    MOST_KIB = 3 << 10

    @staticmethod
    def resident_kib(pid, guest_kib):
        """What is resident of all mappings but the guest's memory."""
        total = 0
        with open(f"/proc/{pid}/smaps") as file:
            size = 0
            for line in file:
                name, _, value = line.partition(":")
                if name == "Size":
                    size = int(value.split()[0])
                elif name == "Rss" and size < guest_kib:
                    total += int(value.split()[0])
        return total

    @unittest.skipUnless(link_is_static(), "this build is for checking")
    def test_it_takes_little_beyond_the_guest(self):
        for more in ((), ("--smp", "4")):
            terminal = self.terminal("--elf", GUEST, "--memory", "512", *more)
            terminal.read_until(b"ready")
            terminal.type(b"abc")
            terminal.read_until(b"<c>\r\n")
            used = self.resident_kib(terminal.process.pid, 512 << 10)
            print(f"{used} KiB beyond the guest with {more}")
            self.assertGreater(used, 100)
            self.assertLess(used, self.MOST_KIB)
            terminal.type(b"q")
            self.assertEqual(terminal.wait(), 0)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
