"""One run of the lab: from a list of jobs to their results."""

import os
import tempfile
import time

from . import initramfs as cpio
from . import jobs as lab_jobs
from . import machine

FOLDER = os.path.join(os.path.dirname(__file__), "..", "..", "..", "tests", "lab")


def build_initramfs(path, packages, tools, jobs, parallel, data, shell=None):
    """Writes the archive with everything that the machine needs.

    `shell`: what the machine's shell runs on its console instead of the jobs.

    `tools` is the folder with the programs of //tests/lab:machine.
    """
    archive = cpio.Initramfs()
    for folder in ("dev", "proc", "sys", "tmp", "out", "bin", lab_jobs.WORK):
        archive.folder(folder)
    archive.device("dev/console", 5, 1)
    archive.file("init", os.path.join(FOLDER, "init"))
    archive.program("bin/busybox", os.path.join(packages, "busybox"))
    archive.link("bin/sh", "busybox")
    archive.text("etc/passwd", "root:x:0:0:root:/:/bin/sh\n")
    archive.tree("modules", os.path.join(packages, "modules"))
    for name in ("runner", "keep_vms"):
        archive.program(f"lab/{name}", os.path.join(tools, name))
    archive.text("lab/jobs", lab_jobs.job_list(jobs))
    archive.text("lab/parallel", str(parallel))
    if shell is not None:
        archive.text("lab/shell", shell)
    for number, job in enumerate(jobs):
        archive.folder(f"tmp/{number}")
        archive.program(job.program, job.source)
        for inside, here in job.files.items():
            if os.access(here, os.X_OK) and os.path.isfile(here):
                archive.program(inside, here)
            else:
                archive.tree(inside, here)
    for inside, here in data.items():
        archive.tree(f"{lab_jobs.WORK}/{inside}", here)
    with open(path, "wb") as out:
        archive.write(out)


def run(packages, tools, jobs, report, say, data=(), parallel=2, memory=3072, cpus=1,
        counted=False):
    """Runs every job, in a new machine when one goes down; fills `report`.

    `counted`: in a machine whose clock counts instructions, see machine.command.
    """
    left = list(range(len(jobs)))
    while left:
        with tempfile.TemporaryDirectory(prefix="stock_kvm_lab.") as work:
            archive = os.path.join(work, "initramfs")
            begin = time.monotonic()
            build_initramfs(archive, packages, tools, [jobs[n] for n in left],
                            parallel, dict(data))
            size = os.path.getsize(archive) >> 20
            started = set()
            again = False
            try:
                for kind, index, content in machine.run(
                        os.path.join(packages, "vmlinuz"), archive, work, memory,
                        cpus, say, counted):
                    if kind == machine.READY:
                        say(f"Linux {content.decode()}, {cpus} CPUs, {memory} MiB, "
                            f"{size} MiB of files: up after "
                            f"{time.monotonic() - begin:.1f} s")
                    elif kind == machine.START:
                        started.add(left[index])
                        report.start(left[index])
                    elif kind == machine.OUTPUT:
                        report.output(left[index], content)
                    elif kind == machine.FILE:
                        report.file(left[index], content)
                    elif kind == machine.END:
                        report.end(left[index], content.decode())
            except machine.Lost as lost:
                for number in report.lost(str(lost), lost.silent):
                    jobs[number].exclusive = True
                    started.remove(number)
                    again = True
                say(str(lost))
                if not started and not again:
                    return  # It does not even start; what is left was not run.
            left = [n for n in left if n not in started]
            if left and (started or again):
                say(f"starting another machine for the {len(left)} jobs left")
