"""What became of the jobs: streamed output, JUnit file, totals, exit code."""

import os
import signal
import sys
import xml.etree.ElementTree as xml

# How much of a failed job's output goes into the JUnit file.
TAIL = 20000


class Result:
    def __init__(self, name):
        self.name = name
        self.output = bytearray()
        self.files = {}  # relative path -> content
        self.failure = None  # Text, when it did not exit with 0.
        self.ended = False
        self.seconds = 0.0

    def end(self, text):
        """`text` is that of an END frame, see tests/lab/frames.h."""
        kind, number, milliseconds = text.split()
        self.ended = True
        self.seconds = int(milliseconds) / 1000
        if kind == "timeout":
            self.failure = f"was killed at its time limit after {self.seconds:.0f} s"
        elif kind == "signal":
            self.failure = f"was ended by {signal.Signals(int(number)).name}"
        elif kind == "failed":
            self.failure = f"did not start: {os.strerror(int(number))}"
        elif number != "0":
            self.failure = f"exited with code {number}"

    def lost(self, text):
        """The machine went down while it ran."""
        self.ended = True
        self.failure = f"took the machine down, or with it: {text}"

    def cases(self):
        """JUnit test cases: googletest's own, else one for the whole."""
        cases = []
        try:
            for case in xml.fromstring(self.files["test.xml"]).iter("testcase"):
                case.set("classname", f"{self.name} {case.get('classname')}")
                cases.append(case)
        except (KeyError, xml.ParseError):
            pass
        failed = any(case.find("failure") is not None for case in cases)
        if (self.failure and not failed) or not cases:
            case = xml.Element("testcase", classname=self.name, name="program",
                               status="run", time=f"{self.seconds:.3f}")
            if self.failure or not self.ended:
                failure = xml.SubElement(
                    case, "failure", message=self.failure or "was not run")
                failure.text = _printable(self.output[-TAIL:])
            cases.append(case)
        return cases


def _printable(data):
    """Text that XML can hold."""
    text = data.decode(errors="replace")
    return "".join(c if c in "\n\t" or (c.isprintable() and c < "\ufffe") else "?"
                   for c in text)


class Report:
    """Collects what the frames say and prints it as it comes.

    The output of jobs that run at once is not mixed: that of the one which
    started first is printed live, that of the others after it.
    """

    def __init__(self, jobs, out=None):
        self.results = [Result(job.name) for job in jobs]
        self._out = out or sys.stdout
        self._stood_still = set()  # Jobs that a machine stood still with.
        self._queue = []  # Jobs that started and are not printed to their end.
        self._printed = {}  # job -> bytes of its output printed so far

    def start(self, number):
        self._queue.append(number)
        self._print()

    def output(self, number, data):
        self.results[number].output += data
        self._print()

    def file(self, number, data):
        name, _, content = data.partition(b"\0")
        self.results[number].files[name.decode()] = content

    def end(self, number, text):
        self.results[number].end(text)
        self._print()

    def lost(self, text, silent=False):
        """The machine went down. Of several jobs that were running with it, one can
        have done it: returns them, to be run again one by one. A single one has,
        unless the machine only stands still (`silent`): that the emulation does by
        itself once in some hours, so a single one runs again, too, the first time."""
        running = [n for n in self._queue if not self.results[n].ended]
        if len(running) == 1:
            if silent and running[0] not in self._stood_still:
                self._stood_still.add(running[0])
            else:
                self.results[running[0]].lost(text)
                running = []
        self._print()
        for number in running:
            name = self.results[number].name
            self._out.write(f"-- {name} went down with the machine, or took it down; "
                            "it runs once more, alone\n")
            self.results[number] = Result(name)
            self._queue.remove(number)
            self._printed.pop(number, None)
        self._print()
        return running

    def _print(self):
        while self._queue:
            number = self._queue[0]
            result = self.results[number]
            if number not in self._printed:
                self._out.write(f"== {result.name}\n")
            printed = self._printed.get(number, 0)
            self._out.write(result.output[printed:].decode(errors="replace"))
            self._printed[number] = len(result.output)
            if result.ended:
                how = (result.failure or "passed").splitlines()[0]
                self._out.write(f"-- {result.name} {how} ({result.seconds:.1f} s)\n")
                self._queue.pop(0)
            self._out.flush()
            if not result.ended:
                return

    def junit(self):
        root = xml.Element("testsuites")
        for result in self.results:
            suite = xml.SubElement(root, "testsuite", name=result.name,
                                   time=f"{result.seconds:.3f}")
            suite.extend(result.cases())
        return xml.ElementTree(root)
