"""The table of docs/features.md, for tools/feature_table.

usage: feature_table.py check
       feature_table.py write NATIVE_KVM NATIVE_FOLDER LAB_FOLDER

A folder holds, at any depth, the googletest results of a run (*.xml) and what
libvmm/testing/kvm_call_log.cc wrote of it (kvm_calls.*).
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
DOCUMENT = ROOT / "docs/features.md"
EVIDENCE = ROOT / "tools/lib/feature_evidence.tsv"
ENUMERATOR = re.compile(r"^  (k\w+) = (\d+),", re.MULTILINE)
NAME = re.compile(r"LIBVMM_FEATURE\(\s*(k\w+),\s*(KVM_CAP_\w+)")
EXIT = re.compile(r"^\s*k\w+ = (\d+),\s*// (KVM_EXIT_\w+)", re.MULTILINE)
KINDS = ("call", "enable", "exit", "value", "test", "-")


def features():
    """{enumerator: (number, kernel's name)}, in the order of the header."""
    header = (ROOT / "libvmm/kvm/features.h").read_text()
    names = dict(NAME.findall((ROOT / "libvmm/kvm/features.cc").read_text()))
    return {name: (int(number), names[name])
            for name, number in ENUMERATOR.findall(header)}


def evidence(text):
    """{enumerator: (kind, name, reason)}."""
    rows = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        feature, what, *reason = line.split("\t")
        kind, _, name = what.partition(" ")
        if kind not in KINDS or (kind == "-" and not reason) or feature in rows:
            raise SystemExit(f"{EVIDENCE.name}: what is {line!r}?")
        rows[feature] = (kind, name, reason[0] if reason else "")
    return rows


class Run:
    """What a run of the tests saw of one KVM."""

    def __init__(self):
        self.calls, self.enabled, self.exits = set(), set(), set()
        self.capabilities = {}
        self.passed, self.skipped = set(), {}

    def add_log(self, text):
        for line in text.splitlines():
            kind, *words = line.split()
            if kind == "call":
                self.calls.add(words[0])
            elif kind == "enable":
                self.enabled.add(int(words[0]))
            elif kind == "exit":
                self.exits.add(int(words[0]))
            elif kind == "capability":
                number, value = map(int, words)
                self.capabilities[number] = max(
                    value, self.capabilities.get(number, 0))

    def add_results(self, text):
        for case in xml.fromstring(text).iter("testcase"):
            # Instances of a parameterised test count as the test.
            suite = case.get("classname", "").split("/")
            name = f"{suite[min(1, len(suite) - 1)]}.{case.get('name').split('/')[0]}"
            skipped = case.find("skipped")
            if skipped is not None:
                reason = re.sub(r"^\S+:\d+\s+", "", skipped.get("message", ""))
                self.skipped[name] = reason.strip()
            elif case.find("failure") is None and case.get("status") == "run":
                self.passed.add(name)

    @classmethod
    def of(cls, folder):
        run = cls()
        for path in pathlib.Path(folder).rglob("*"):
            if path.name.startswith("kvm_calls."):
                run.add_log(path.read_text())
            elif path.suffix == ".xml":
                run.add_results(path.read_text())
        if not run.capabilities or not run.passed:
            raise SystemExit(f"{folder} holds no results")
        return run

    def saw(self, number, kind, name, exits):
        return {"call": name in self.calls, "enable": number in self.enabled,
                "exit": exits.get(name) in self.exits,
                "value": number in self.capabilities,
                "test": name in self.passed, "-": False}[kind]

    def cell(self, number, row, exits):
        """(exercised, what to say of it)."""
        kind, name, reason = row
        if number not in self.capabilities:
            # Some calls are there although the capability is denied.
            return ((True, "yes, though the capability is denied")
                    if kind == "call" and name in self.calls else (False, "absent"))
        if self.saw(number, kind, name, exits):
            return True, "yes"
        return False, f"no: {self.skipped.get(name) or reason or 'nothing tries it'}"


def shown(number, row, name):
    kind, what, _ = row
    return {"call": f"`{what}`", "enable": "enabled", "exit": f"`{what}`",
            "value": "its value", "test": f"`{what}`", "-": ""}[kind]


def document(native_name, native, lab, known, rows, exits):
    lines, counts = [], {"both": 0, "native": 0, "lab": 0, "nowhere": 0}
    for feature, (number, name) in known.items():
        here = native.cell(number, rows[feature], exits)
        there = lab.cell(number, rows[feature], exits)
        counts["both" if here[0] and there[0] else "native" if here[0]
               else "lab" if there[0] else "nowhere"] += 1
        lines.append(f"| `{feature}` | `{name}` | {shown(number, rows[feature], name)} "
                     f"| {here[1]} | {there[1]} |")
    return f"""# Features, and where the tests exercise them

Written by `tools/feature_table`, which runs every KVM test natively ({native_name})
and on the stock kvm_amd of the lab (`tests/lab`), and notes what each kernel granted.
By: what shows that a feature was exercised: a call or `KVM_ENABLE_CAP` that the kernel
granted, an exit that a guest took, a test that passed, or, for numbers and promises,
that the KVM gave one for the library to go by. Absent: that KVM answers
`KVM_CHECK_EXTENSION` with 0.

Of {len(known)} features {counts["both"]} were exercised in both places, \
{counts["native"]} only natively, {counts["lab"]} only in the lab,
{counts["nowhere"]} nowhere.

| feature | capability | by | natively | in the lab |
|---|---|---|---|---|
""" + "\n".join(lines) + "\n"


def problems(known, rows, text):
    documented = re.findall(r"^\| `(k\w+)` \|", text, re.MULTILINE)
    found = [f"{EVIDENCE.name} lacks {name}" for name in known if name not in rows]
    found += [f"{EVIDENCE.name}: {name} is no feature"
              for name in rows if name not in known]
    if documented != list(known):
        found.append("docs/features.md has other features than features.h; "
                     "run tools/feature_table")
    return found


def main(arguments):
    known, rows = features(), evidence(EVIDENCE.read_text())
    if arguments == ["check"]:
        found = problems(known, rows, DOCUMENT.read_text())
        print("\n".join(found), end="\n" if found else "", file=sys.stderr)
        return 1 if found else 0
    _, native_name, native, lab = arguments
    exits = {name: int(number) for number, name in EXIT.findall(
        (ROOT / "libvmm/kvm/exit.h").read_text())}
    DOCUMENT.write_text(document(native_name, Run.of(native), Run.of(lab), known,
                                 rows, exits))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
