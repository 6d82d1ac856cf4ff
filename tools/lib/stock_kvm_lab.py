"""The command line of tools/stock_kvm_lab, whose comment describes it."""

import argparse
import os
import shlex
import signal
import sys
import tempfile
import xml.etree.ElementTree as xml

import count_tests
from lab import jobs as lab_jobs
from lab import guest, machine, packages, report, session

MACHINE = "//tests/lab:machine"
# Where --guest puts its kernel and initrd, below the programs' folder.
GUEST = "guest"


def say(text):
    print(f"stock_kvm_lab: {text}", file=sys.stderr, flush=True)


def caller_path(path):
    """`path` as the caller of the script meant it."""
    return os.path.join(os.environ.get("CALLER_DIR", "."), path)


def parse(arguments):
    parser = argparse.ArgumentParser(prog="tools/stock_kvm_lab", add_help=False)
    parser.add_argument("--shell", action="store_true")
    parser.add_argument("--fetch", action="store_true")
    parser.add_argument("--refresh", action="store_true")
    parser.add_argument("--guest", action="store_true")
    parser.add_argument("--module", action="append", default=[])
    parser.add_argument("--program", action="append", default=[])
    parser.add_argument("--make-guest")
    parser.add_argument("--data", action="append", default=[])
    parser.add_argument("--env", action="append", default=[])
    parser.add_argument("--config", action="append", default=[])
    parser.add_argument("--limit", type=int)
    parser.add_argument("--junit")
    parser.add_argument("--out")
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--memory", type=int, default=3072)
    parser.add_argument("--cpus", type=int, default=1)
    parser.add_argument("programs", nargs="*")
    passed_on = []
    if "--" in arguments:
        at = arguments.index("--")
        arguments, passed_on = arguments[:at], arguments[at + 1:]
    options = parser.parse_args(arguments)
    if not (options.programs or options.shell or options.fetch or options.refresh
            or options.make_guest):
        parser.error("nothing to run; see --help")
    return options, passed_on


def guest_programs(options):
    """The files of --program, by name."""
    found = {}
    for path in options.program:
        here = caller_path(path)
        if not os.access(here, os.X_OK) or os.path.isdir(here):
            raise lab_jobs.Refused(f"--program {path} is no program")
        found[os.path.basename(path)] = here
    return found


def collect(options, passed_on):
    """The jobs of the command line, and the data for them by name."""
    config = [f"--config={name}" for name in options.config]
    targets = [p for p in options.programs if p.startswith(("//", ":"))]
    jobs = lab_jobs.from_targets(targets, config, options.limit) if targets else []
    jobs += [lab_jobs.from_file(caller_path(p), options.limit)
             for p in options.programs if p not in targets]
    for job in jobs:
        job.arguments += passed_on
        for setting in options.env:
            name, separator, value = setting.partition("=")
            if not separator:
                raise lab_jobs.Refused(f"--env {setting}: NAME=VALUE is wanted")
            job.environment[name] = value
    data = {}
    for item in options.data:
        here, _, inside = item.partition("=")
        here = caller_path(here)
        if not os.path.exists(here):
            raise lab_jobs.Refused(f"--data {item}: {here} is not there")
        data[inside or os.path.basename(os.path.normpath(here))] = here
    return jobs, data


def keep(folder, results):
    """Writes each job's output and files below `folder`."""
    for result in results:
        place = os.path.join(folder, result.name.strip("/").replace(":", "/"))
        os.makedirs(place, exist_ok=True)
        for name, content in {"output.log": bytes(result.output),
                              **result.files}.items():
            path = os.path.join(place, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "wb") as file:
                file.write(content)


def summary(results):
    """Skips by reason, failures, then the last line; the exit code."""
    run = count_tests.Run("lab")
    for result in results:
        for case in result.cases():
            run.add_case("in the lab:", case, "its output is above")
    count_tests.report(run)
    passed, failed, line = count_tests.summary([run])
    print(line)
    return 0 if passed > 0 and failed == 0 else 1


def unavailable(error, xml_path):
    """What a test does without the lab: one counted skip, in the format that
    tools/test reads, or a failure where KVM is required; the exit code."""
    print(error)
    suites = xml.Element("testsuites")
    case = xml.SubElement(xml.SubElement(suites, "testsuite", name="lab"),
                          "testcase", name="all", classname="lab")
    xml.SubElement(case, "skipped", message=str(error))
    xml.ElementTree(suites).write(xml_path)
    return 1 if os.environ.get("LIBVMM_REQUIRE_KVM") == "1" else 0


def shell_command(jobs, passed_on):
    """A shell; or the one program, when arguments for it were given."""
    if not passed_on:
        return ('echo "A shell in the lab: exit or Ctrl-D ends it, Ctrl-A X kills the '
                'machine."\nexec sh\n')
    words = [f"/{jobs[0].program}", *passed_on]
    return "exec " + " ".join(shlex.quote(word) for word in words) + "\n"


def main(arguments):
    # Ended from outside it still puts its folder away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    options, passed_on = parse(arguments)
    try:
        folder = packages.get(say, options.refresh, options.module)
        if options.make_guest:
            guest.make(caller_path(options.make_guest), folder, options.module,
                       guest_programs(options))
        if not options.programs and not options.shell:
            return 0
        bin_folder, _ = lab_jobs.build([MACHINE], [])
        tools = os.path.join(bin_folder, "tests", "lab")
        jobs, data = collect(options, passed_on)
    except (packages.Unavailable, lab_jobs.Refused) as error:
        say(error)
        return 2
    with tempfile.TemporaryDirectory(prefix="stock_kvm_lab.") as work:
        if options.guest:
            data[GUEST] = os.path.join(work, GUEST)
            guest.make(data[GUEST], folder, options.module, guest_programs(options))
        if options.shell:
            archive = os.path.join(work, "initramfs")
            session.build_initramfs(archive, folder, tools, jobs, 1, data,
                                    shell_command(jobs, passed_on))
            return machine.shell(os.path.join(folder, "vmlinuz"), archive,
                                 options.memory, options.cpus)
        sheet = report.Report(jobs)
        session.run(folder, tools, jobs, sheet, say, data, options.parallel,
                    options.memory, options.cpus)
    if options.junit:
        sheet.junit().write(caller_path(options.junit))
    if options.out:
        keep(caller_path(options.out), sheet.results)
    return summary(sheet.results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
