"""The command line of tools/bench_boot, whose comment describes it."""

import argparse
import glob
import json
import os
import re
import shlex
import shutil
import statistics
import sys
import tempfile

from lab import guest
from lab import jobs as lab_jobs
from lab import packages, report, session
from stock_kvm_lab import MACHINE, caller_path, keep

TIMER = "//tests/boot:boot_timer"
MARKER = "libvmm: userspace"
LIMIT_SECONDS = 120

QEMU = ("/usr/bin/qemu-system-x86_64 -M {machine} -cpu host -m {{memory}} "
        "-smp {{cpus}} -no-user-config -nodefaults -no-reboot -display none "
        "-serial stdio -kernel {kernel} -initrd {{initrd}} -append {{append}}")
# Without its RTC a microvm loses seconds to the kernel's search for one.
MICROVM = "microvm,accel=kvm,rtc=on"
BASELINES = {
    "qemu-microvm-default": QEMU.format(machine="microvm,accel=kvm", kernel="{kernel}"),
    "qemu-microvm": QEMU.format(machine=MICROVM, kernel="{kernel}"),
    "qemu-microvm-pvh": QEMU.format(machine=MICROVM, kernel="{vmlinux}"),
    "qemu-q35": QEMU.format(machine="q35,accel=kvm", kernel="{kernel}"),
}
# What QEMU loads besides its libraries.
FIRMWARE = ("/usr/share/seabios/bios*.bin", "/usr/share/qemu/bios-microvm.bin",
            "/usr/share/qemu/qboot.rom", "/usr/share/qemu/kvmvapic.bin",
            "/usr/share/qemu/linuxboot*.bin", "/usr/share/qemu/pvh.bin")

FIELDS = ("boot_ms", "boot_min", "boot_max", "cpu_ms", "beyond", "guest", "huge")


def say(text):
    print(f"bench_boot: {text}", file=sys.stderr, flush=True)


def parse_line(output):
    """What tests/boot/boot_timer.cc printed, as numbers by name; None if nothing."""
    found = re.findall(r"^boot_timer: (\w+=[\d.]+(?: \w+=[\d.]+)*)$", output,
                       re.MULTILINE)
    if not found:
        return None
    return {name: float(value)
            for name, value in (word.split("=") for word in found[-1].split())}


def words_of(command, values):
    """The words of a command in which {name} is replaced by values[name], which
    stays one word whatever it has inside."""
    def replace(word):
        for name in re.findall(r"\{(\w+)\}", word):
            if name not in values:
                raise lab_jobs.Refused(f"{{{name}}} in '{command}': there are "
                                       + ", ".join("{%s}" % n for n in sorted(values)))
            word = word.replace("{%s}" % name, values[name])
        return word
    return [replace(word) for word in shlex.split(command)]


def row(name, runs):
    """One line of the table from `runs`: boot_timer's numbers, and cpu_ms."""
    def median(field, scale=1.0):
        return statistics.median(run[field] for run in runs) / scale
    return {"name": name, "runs": len(runs), "boot_ms": median("ms"),
            "boot_min": min(run["ms"] for run in runs),
            "boot_max": max(run["ms"] for run in runs),
            "cpu_ms": median("cpu_ms"), "beyond": median("beyond_kib", 1024),
            "guest": median("guest_kib", 1024), "huge": median("huge_kib", 1024)}


def table(rows):
    width = max([len(row["name"]) for row in rows] + [4])
    lines = ["name".ljust(width) + f"{'runs':>6}" +
             "".join(f"{field:>10}" for field in FIELDS)]
    for each in rows:
        lines.append(each["name"].ljust(width) + f"{each['runs']:>6}" + "".join(
            f"{each[field]:>10.{0 if field.endswith(('ms', 'min', 'max')) else 1}f}"
            for field in FIELDS))
    return "\n".join(lines)


def processor_ms():
    """What the processes that this one has started have used so far."""
    total = 0
    for children in glob.glob("/proc/self/task/*/children"):
        with open(children) as file:
            pids = file.read().split()
        for pid in pids:
            with open(f"/proc/{pid}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total * 1000 / os.sysconf("SC_CLK_TCK")


class BootReport(report.Report):
    """Notes too what the machine has used between a start and the marker."""

    def __init__(self, jobs, marker):
        super().__init__(jobs)
        self.cpu_ms = {}
        self._marker = marker.encode()
        self._start = {}

    def start(self, number):
        self._start[number] = processor_ms()
        super().start(number)

    def output(self, number, data):
        super().output(number, data)
        if number not in self.cpu_ms and self._marker in self.results[number].output:
            self.cpu_ms[number] = processor_ms() - self._start[number]


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tools/bench_boot", add_help=False)
    parser.add_argument("--vmm", action="append", default=[])
    parser.add_argument("--only", default="")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--memory", type=int, default=512)
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--append", default="quiet console=ttyS0")
    parser.add_argument("--marker", default=MARKER)
    parser.add_argument("--count", action="store_true")
    parser.add_argument("--json")
    parser.add_argument("--out")
    options = parser.parse_args(arguments)
    vmms = dict(BASELINES)
    for item in options.vmm:
        name, separator, command = item.partition("=")
        if not separator or not command.strip():
            parser.error(f"--vmm {item}: NAME=COMMAND is wanted")
        vmms[name] = command
    options.vmms = {name: command for name, command in vmms.items()
                    if re.search(options.only, name)}
    if not options.vmms:
        parser.error("nothing to measure")
    return options


def program_of(word):
    """The file that a command's first word means."""
    if not word.startswith("//"):
        found = shutil.which(word) or caller_path(word)
        return lab_jobs.from_file(found, None).source
    (job,) = lab_jobs.from_targets([word], [], None)
    return job.source


def place(name, source, files):
    """Where the VMM `name` is to lie in the machine; notes that in `files`, with
    what it needs besides its libraries."""
    if os.path.basename(source).startswith("qemu-system-"):
        # It finds its firmware by where it lies itself.
        inside = source
        for pattern in FIRMWARE:
            files.update((path, path) for path in glob.glob(pattern))
    else:
        inside = f"/programs/vmm/{name}"
    files[inside] = source
    return inside


def jobs_of(options, timer):
    """The runs, in turn, each with the name of its VMM."""
    values = {"kernel": "/programs/guest/vmlinuz", "vmlinux": "/programs/guest/vmlinux",
              "initrd": "/programs/guest/initrd", "append": options.append,
              "memory": str(options.memory), "cpus": str(options.cpus)}
    jobs, files = [], {}
    commands = {name: words_of(command, values)
                for name, command in options.vmms.items()}
    for name, words in commands.items():
        words[0] = place(name, program_of(words[0]), files)
    for number in range(options.runs):
        for name, words in commands.items():
            job = lab_jobs.Job(
                f"{name}.{number}", "/programs/bin/boot_timer", timer,
                [str(options.memory), str(LIMIT_SECONDS), options.marker, *words],
                limit=LIMIT_SECONDS + 30, exclusive=True, files=files)
            jobs.append((name, job))
    return jobs


def main(arguments):
    options = parse(arguments)
    try:
        folder = packages.get(say)
        bin_folder, _ = lab_jobs.build([MACHINE, TIMER], [])
        named = jobs_of(options, os.path.join(bin_folder, "tests/boot/boot_timer"))
    except (packages.Unavailable, lab_jobs.Refused) as error:
        say(error)
        return 2
    jobs = [job for _, job in named]
    sheet = BootReport(jobs, options.marker)
    with tempfile.TemporaryDirectory(prefix="bench_boot.") as work:
        guest.make(work, folder)
        guest.unpack_kernel(os.path.join(work, "vmlinux"), folder)
        session.run(folder, os.path.join(bin_folder, "tests", "lab"), jobs, sheet, say,
                    {"guest": work}, 1, cpus=options.cpus if options.count else 2,
                    counted=options.count)
    if options.out:
        keep(caller_path(options.out), sheet.results)
    measured = {}
    for number, (name, _) in enumerate(named):
        run = parse_line(sheet.results[number].output.decode(errors="replace"))
        if run is None or number not in sheet.cpu_ms:
            say(f"{sheet.results[number].name}: no figures: "
                f"{sheet.results[number].failure or 'was not run'}")
            continue
        measured.setdefault(name, []).append({**run, "cpu_ms": sheet.cpu_ms[number]})
    rows = [row(name, measured[name]) for name in options.vmms if name in measured]
    print(table(rows))
    if options.json:
        with open(caller_path(options.json), "w") as file:
            json.dump(rows, file, indent=1)
    return 0 if sum(each["runs"] for each in rows) == len(jobs) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
