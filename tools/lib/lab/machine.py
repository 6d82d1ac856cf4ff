"""The lab's machine: QEMU in software emulation, and the runner inside it."""

import os
import select
import socket
import struct
import subprocess
import time

# As in tests/lab/frames.h.
READY, START, OUTPUT, FILE, END, DONE, ALIVE = range(1, 8)
HEADER = struct.Struct("<III")

# How long the machine may take to start, and then be silent: its runner gives a
# sign of life every second and keeps the jobs' limits itself.
START_SECONDS = 180
SILENT_SECONDS = 60


class Lost(Exception):
    """The machine went down before its programs ended.

    `silent`: its processor stands still, as far as can be seen; no panic, no end.
    """

    def __init__(self, text, silent=False):
        super().__init__(text)
        self.silent = silent


def command(kernel, initramfs, memory, cpus, console, extra, counted=False):
    # panic=-1 with -no-reboot: a kernel that panics ends the machine at once.
    # nokaslr: addresses that a silent machine's report has are always the same.
    # The emulated TSC follows the host's clock; trusting it saves calibration.
    # Without ERMS and FSRM the kernels inside copy and clear by eight bytes a
    # step, not by one, which the emulation would do one after the other.
    # Counted: the machine's clock is the number of instructions, one a ns,
    # whatever else this machine does; idle time passes at once.
    # setpriv: QEMU ends with this process, however that ends.
    return ("setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64",
            *(("-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off")
              if counted else ("-accel", "tcg,thread=multi")),
            "-cpu", "max,-erms,-fsrm", "-smp", str(cpus),
            "-m", str(memory), "-no-user-config", "-nodefaults",
            "-display", "none", "-no-reboot", "-kernel", kernel,
            "-initrd", initramfs, "-append",
            "console=ttyS0 quiet nokaslr loglevel=4 panic=-1 oops=panic tsc=reliable "
            "mitigations=off random.trust_cpu=on rdinit=/init",
            "-serial", console, *extra)


class Frames:
    """Cuts a byte stream into (kind, job, bytes)."""

    def __init__(self):
        self._bytes = bytearray()

    def add(self, data):
        self._bytes += data
        while len(self._bytes) >= HEADER.size:
            kind, job, size = HEADER.unpack_from(self._bytes)
            end = HEADER.size + size
            if len(self._bytes) < end:
                return
            yield kind, job, bytes(self._bytes[HEADER.size:end])
            del self._bytes[:end]


def run(kernel, initramfs, work, memory, cpus, say, counted=False):
    """Boots the machine and yields its frames up to DONE; what its init has to
    say goes to `say`.

    Raises Lost, with the end of the console, when the machine does not get there.
    """
    path = os.path.join(work, "stream")
    console = os.path.join(work, "console")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen(1)
        qemu = subprocess.Popen(
            command(kernel, initramfs, memory, cpus, f"file:{console}", (
                "-monitor", f"unix:{work}/monitor,server=on,wait=off",
                "-device", "virtio-serial-pci",
                "-chardev", f"socket,id=stream,path={path}",
                "-device", "virtserialport,chardev=stream,name=lab"), counted),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        try:
            yield from _frames(qemu, listener)
        except Lost as lost:
            raise Lost(f"{lost}\n{_end_of(console)}\n"
                       f"{_processors(os.path.join(work, 'monitor'))}",
                       lost.silent) from None
        finally:
            for line in _lines_of(console):
                if line.startswith("lab: "):
                    say(line[len("lab: "):])
            qemu.kill()
            qemu.wait()
            qemu.stdout.close()
            os.unlink(path)


def _frames(qemu, listener):
    if not select.select([listener, qemu.stdout], [], [], START_SECONDS)[0]:
        raise Lost("QEMU does not start")
    listener.settimeout(1)
    try:
        stream, _ = listener.accept()
    except OSError:
        raise Lost(f"QEMU ended: {qemu.stdout.read().decode()}") from None
    frames = Frames()
    left = START_SECONDS
    with stream:
        while True:
            begin = time.monotonic()
            if not select.select([stream], [], [], 1)[0]:
                # A longer second is that of a host which stood still.
                left -= min(time.monotonic() - begin, 1)
                if left <= 0:
                    raise Lost("the machine does not answer any more", silent=True)
                continue
            data = stream.recv(1 << 20)
            if not data:
                raise Lost("the machine ended by itself")
            for frame in frames.add(data):
                left = SILENT_SECONDS
                if frame[0] != ALIVE:
                    yield frame
                if frame[0] == DONE:
                    return


def _processors(monitor):
    """Where the CPUs of a machine that fell silent stand, if QEMU still tells."""
    text = b""
    try:
        with socket.socket(socket.AF_UNIX) as stream:
            stream.settimeout(5)
            stream.connect(monitor)
            stream.sendall(b"info registers -a\ninfo lapic 0\ninfo lapic 1\n")
            # Some more looks, to tell one that stands from one that runs in circles.
            for _ in range(8):
                time.sleep(0.1)
                stream.sendall(b"info registers\n")
            stream.settimeout(2)
            while True:
                data = stream.recv(1 << 16)
                if not data:
                    break
                text += data
    except OSError:
        pass
    return text.decode(errors="replace")


def _lines_of(path):
    try:
        with open(path, errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _end_of(path):
    return "the end of its console:\n" + "\n".join(
        "    " + line for line in _lines_of(path)[-80:])


def shell(kernel, initramfs, memory, cpus):
    """The machine's console on this terminal; returns QEMU's exit code."""
    return subprocess.call(command(kernel, initramfs, memory, cpus, "mon:stdio", ()))
