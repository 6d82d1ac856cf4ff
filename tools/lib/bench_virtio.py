"""The command line of tools/bench_virtio, whose comment describes it."""

import argparse
import json
import os
import re
import statistics
import sys
import tempfile

import bench_boot
from lab import guest, packages, report, session
from lab import jobs as lab_jobs
from stock_kvm_lab import MACHINE, caller_path, keep

PROGRAMS = {name: f"//tests/virtio:{name}" for name in ("block_load", "stream", "tap_up")}
GUEST_SCRIPTS = ("net_up",)
LIMIT_SECONDS = 300
TAP = "bench0"
MODULES = ("virtio_blk", "virtio_mmio", "virtio_net", "virtio_pci")

# name -> (kind, what the guest runs)
BLOCK = {
    "read-seq-256k": "block_load+/dev/vda+read+sequential+256+8+{mib}",
    "read-rand-4k": "block_load+/dev/vda+read+random+4+16+{small}",
    "write-seq-256k": "block_load+/dev/vda+write+sequential+256+8+{mib}",
    "write-rand-4k": "block_load+/dev/vda+write+random+4+16+{small}",
}
NET = {
    "net-send": "stream+send+{bytes}+tcp:192.168.77.1:5001",
    "net-receive": "stream+receive+tcp:192.168.77.1:5002",
}

QEMU = ("/usr/bin/qemu-system-x86_64 -M {machine} -cpu host -m {{memory}} -smp 1 "
        "-no-user-config -nodefaults -no-reboot -display none -serial stdio "
        "-kernel {{kernel}} -initrd {{initrd}} -append {{append}} {devices}")
QEMU_DISK = "-drive file=/tmp/bench.img,if=none,id=d,format=raw,cache=writeback,aio={aio} "
BASELINES = {
    "qemu-block-pci": ("block", QEMU.format(
        machine="q35,accel=kvm",
        devices=QEMU_DISK.format(aio="threads") + "-device virtio-blk-pci,drive=d")),
    "qemu-block-mmio": ("block", QEMU.format(
        machine=bench_boot.MICROVM,
        devices=QEMU_DISK.format(aio="threads") + "-device virtio-blk-device,drive=d")),
    "qemu-uring-pci": ("block", QEMU.format(
        machine="q35,accel=kvm",
        devices=QEMU_DISK.format(aio="io_uring") + "-device virtio-blk-pci,drive=d")),
    "qemu-net-pci": ("net", QEMU.format(
        machine="q35,accel=kvm",
        devices=f"-netdev tap,id=n,ifname={TAP},script=no,downscript=no "
                "-device virtio-net-pci,netdev=n,romfile=")),
}
OURS = ("//examples/vmm:vmm --quiet --no-reboot --kernel {{kernel}} --initrd {{initrd}} "
        "--append {{append}} --memory {{memory}} {devices}")
for _name, _options in (("ours-block-pci", "--disk /tmp/bench.img"),
                        ("ours-block-mmio", "--virtio-mmio --disk /tmp/bench.img"),
                        ("ours-uring-pci", "--disk /tmp/bench.img,io_uring")):
    BASELINES[_name] = ("block", OURS.format(devices=_options))
BASELINES["ours-net-pci"] = ("net", OURS.format(devices=f"--net tap={TAP}"))


def say(text):
    print(f"bench_virtio: {text}", file=sys.stderr, flush=True)


def figures(output, works):
    """MiB/s by work from what the guest said; None if any is missing."""
    lines = re.findall(r"^libvmm: (?:block_load|stream) (?:.*, )?([\d.]+) MiB/s",
                       output, re.MULTILINE)
    if len(lines) != len(works):
        return None
    return dict(zip(works, map(float, lines)))


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tools/bench_virtio", add_help=False)
    parser.add_argument("--vmm", action="append", default=[])
    parser.add_argument("--only", default="")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--memory", type=int, default=512)
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("--json")
    parser.add_argument("--out")
    options = parser.parse_args(arguments)
    options.vmms = dict(BASELINES)
    for item in options.vmm:
        name, separator, command = item.partition("=")
        kind, colon, command = command.partition(":")
        if not separator or not colon or kind not in ("block", "net"):
            parser.error(f"--vmm {item}: NAME=block:COMMAND or NAME=net:COMMAND is "
                         "wanted")
        options.vmms[name] = (kind, command)
    options.vmms = {name: vmm for name, vmm in options.vmms.items()
                    if re.search(options.only, name)}
    if not options.vmms:
        parser.error("nothing to measure")
    return options


def works_of(kind, mib):
    works = BLOCK if kind == "block" else NET
    return {name: work.format(mib=mib, small=max(mib // 8, 1), bytes=mib << 20)
            for name, work in works.items()}


def append_of(kind, mib):
    works = list(works_of(kind, mib).values())
    if kind == "net":
        works.insert(0, "net_up+eth0+192.168.77.2/24")
    return ("quiet console=ttyS0 net.ifnames=0 libvmm.work=" + ",".join(works) +
            " libvmm.do=reboot")


def jobs_of(options, bin_folder):
    runner = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "virtio",
                          "bench_run")
    jobs = []
    for number in range(options.runs):
        for name, (kind, command) in options.vmms.items():
            words = bench_boot.words_of(command, {
                "kernel": "/programs/guest/vmlinuz",
                "initrd": "/programs/guest/initrd",
                "append": append_of(kind, options.mib),
                "memory": str(options.memory)})
            files = {f"/programs/bench/{program}":
                     os.path.join(bin_folder, "tests/virtio", program)
                     for program in ("stream", "tap_up")}
            source = bench_boot.program_of(words[0])
            words[0] = bench_boot.place(name, source, files)
            job = lab_jobs.Job(
                f"{name}.{number}", "/programs/bin/bench_run", os.path.abspath(runner),
                [kind, "/programs/bench", *words],
                {"BENCH_BYTES": str(options.mib << 20)},
                limit=LIMIT_SECONDS, exclusive=True, files=files)
            jobs.append((name, job))
    return jobs


def table(rows):
    width = max([len(name) for name, _ in rows] + [4])
    lines = [f"{'name':<{width}}  {'work':<16}{'runs':>5}{'MiB/s':>10}{'least':>10}{'most':>10}"]
    for (name, work), values in rows.items():
        lines.append(f"{name:<{width}}  {work:<16}{len(values):>5}"
                     f"{statistics.median(values):>10.1f}{min(values):>10.1f}"
                     f"{max(values):>10.1f}")
    return "\n".join(lines)


def main(arguments):
    options = parse(arguments)
    try:
        folder = packages.get(say, modules=MODULES)
        bin_folder, _ = lab_jobs.build([MACHINE, *PROGRAMS.values()], [])
        named = jobs_of(options, bin_folder)
    except (packages.Unavailable, lab_jobs.Refused) as error:
        say(error)
        return 2
    jobs = [job for _, job in named]
    sheet = report.Report(jobs)
    with tempfile.TemporaryDirectory(prefix="bench_virtio.") as work:
        here = os.path.join(os.path.dirname(__file__), "..", "..", "tests", "virtio",
                            "guest")
        programs = {name: os.path.join(bin_folder, "tests/virtio", name)
                    for name in ("block_load", "stream")}
        programs.update((name, os.path.join(here, name)) for name in GUEST_SCRIPTS)
        guest.make(work, folder, MODULES, programs)
        session.run(folder, os.path.join(bin_folder, "tests", "lab"), jobs, sheet, say,
                    {"guest": work}, 1, cpus=options.cpus)
    if options.out:
        keep(caller_path(options.out), sheet.results)
    measured, complete = {}, True
    for number, (name, _) in enumerate(named):
        result = sheet.results[number]
        kind = options.vmms[name][0]
        found = figures(result.output.decode(errors="replace"),
                        works_of(kind, options.mib))
        if found is None:
            say(f"{result.name}: no figures: {result.failure or 'see --out'}")
            complete = False
            continue
        for work, value in found.items():
            measured.setdefault((name, work), []).append(value)
    print(table(measured))
    if options.json:
        with open(caller_path(options.json), "w") as file:
            json.dump([{"name": name, "work": work, "values": values}
                       for (name, work), values in measured.items()], file, indent=1)
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
