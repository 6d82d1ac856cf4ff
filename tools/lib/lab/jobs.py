"""What the lab runs: programs, their arguments and limits, and files for them."""

import dataclasses
import glob
import json
import os
import subprocess

# Bazel's time limits by name, and how much longer a test may take in a machine
# that is emulated.
TIMEOUTS = {"short": 60, "moderate": 300, "long": 900, "eternal": 3600}
SLOWER = 2
# Where a job's files lie in the machine.
WORK = "programs"
# The aspect that describes a Bazel test to the lab.
ASPECT = "//tests/lab:lab.bzl%lab_aspect"


@dataclasses.dataclass
class Job:
    name: str
    program: str  # Path in the machine.
    source: str  # Path here.
    arguments: list = dataclasses.field(default_factory=list)
    environment: dict = dataclasses.field(default_factory=dict)
    folder: str = "/" + WORK
    limit: int = 300
    exclusive: bool = False
    files: dict = dataclasses.field(default_factory=dict)  # in the machine -> here


class Refused(Exception):
    """Something that the lab was told to run is not there."""


def from_file(path, limit):
    path = os.path.abspath(path)
    if not os.access(path, os.X_OK) or os.path.isdir(path):
        raise Refused(f"{path} is no program")
    name = os.path.basename(path)
    return Job(name, f"/{WORK}/bin/{name}", path, limit=limit or TIMEOUTS["moderate"])


def from_manifest(path, locate, limit=None):
    """A Bazel test from what lab_aspect wrote of it.

    `locate` finds a file by its (short path, path from the execution root).
    """
    with open(path) as file:
        manifest = json.load(file)
    files = {f"/{WORK}/libvmm/{short}": locate(short, long)
             for short, long in manifest["files"]}
    program = f"/{WORK}/libvmm/{manifest['program']}"
    return Job(
        manifest["label"], program, files.pop(program), manifest["arguments"],
        {"TEST_SRCDIR": f"/{WORK}", "TEST_WORKSPACE": "libvmm"},
        f"/{WORK}/libvmm", limit or SLOWER * TIMEOUTS[manifest["timeout"]],
        "exclusive" in manifest["tags"], files)


def from_runfiles(root):
    """The Bazel tests whose manifests lie below `root`, a runfiles tree."""
    workspace = os.path.join(root, "libvmm")

    def locate(short, _):
        return os.path.join(workspace, short)

    paths = glob.glob(workspace + "/**/*.lab.json", recursive=True)
    return [from_manifest(path, locate) for path in sorted(paths)]


def _bazel(*arguments):
    output_base = os.environ.get("LIBVMM_OUTPUT_BASE")
    run = subprocess.run(
        ("/usr/bin/bazel", *([f"--output_base={output_base}"] if output_base else []),
         *arguments), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if run.returncode != 0:
        raise Refused(f"bazel {arguments[0]} failed")
    return run.stdout.strip()


def build(labels, options):
    """Builds targets; the output folder and the execution root."""
    _bazel("build", *options, "--", *labels)
    return (_bazel("info", *options, "bazel-bin"),
            _bazel("info", *options, "execution_root"))


def from_targets(patterns, options, limit):
    """The C++ tests and programs that Bazel patterns name, built now.

    A pattern of several targets gives the tests with the tag stock_kvm.
    """
    query = " union ".join(
        f"attr(tags, '\\bstock_kvm\\b', tests({pattern}))"
        if pattern.endswith(("...", ":all", ":*"))
        else f"kind('cc_(test|binary) rule', {pattern})" for pattern in patterns)
    labels = _bazel("query", "--noshow_progress", query).split()
    if not labels:
        raise Refused(f"{' '.join(patterns)}: no C++ test or program is there")
    bin_folder, root = build(labels, [
        *options, f"--aspects={ASPECT}", "--output_groups=+lab"])
    jobs = []
    for label in sorted(labels):
        path = label.lstrip("/").replace(":", "/") + ".lab.json"
        jobs.append(from_manifest(os.path.join(bin_folder, path),
                                  lambda _, long: os.path.join(root, long), limit))
    return jobs


def job_list(jobs):
    """The text that tests/lab/job.h describes."""
    lines = []
    for number, job in enumerate(jobs):
        environment = {"PATH": "/bin", "HOME": "/", "TEST_TMPDIR": f"/tmp/{number}",
                       "GTEST_OUTPUT": f"xml:/out/{number}/test.xml",
                       "LIBVMM_REQUIRE_KVM": "1", "LIBVMM_STOCK_KVM": "1",
                       **job.environment}
        lines += [f"job {job.name}", f"folder {job.folder}", f"limit {job.limit}",
                  f"output /out/{number}"]
        lines += ["exclusive"] if job.exclusive else []
        lines += [f"argument {argument}" for argument in (job.program, *job.arguments)]
        environment = {name: value.replace("{out}", f"/out/{number}")
                       for name, value in environment.items()}
        lines += [f"environment {name}={value}"
                  for name, value in environment.items()]
    for line in lines:
        if "\n" in line:
            raise Refused(f"a line break in {line!r}")
    return "\n".join(lines) + "\n"
