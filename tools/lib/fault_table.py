"""docs/fault_injection.md, for tools/fault_table.

usage: fault_table.py write ERROR_BRANCHES KVM ROWS_FILE
       fault_table.py check

The rows file is what LIBVMM_FAULT_ROWS collects (libvmm/testing/fault_check.h): a
line "start", a name; and a line "end", the name, calls, faults, errnos, leaks,
wrong codes, other faults, with tabs between. A start without its end is a crash.
"""

import os
import re
import sys

DOCUMENT = "docs/fault_injection.md"
MACRO = re.compile(r'libvmm_cc_fault_test\(\s*name = "([^"]+)"')
# The name is a literal in the call that makes the scenario, or the first of a row
# in an array of them.
MAKER = re.compile(r"\b(?:\w*Scenario|Lacking)\(")
ROW = re.compile(r'\{"([^"]+)", KVM_CAP_')


def first_argument(source, start):
    depth, quoted = 0, False
    for position in range(start, len(source)):
        character = source[position]
        quoted ^= character == '"'
        if quoted:
            continue
        if depth == 0 and character in "),":
            return source[start:position]
        depth += (character in "([{") - (character in ")]}")
    return source[start:]


def names_in(source):
    """The names of the scenarios that a test file has."""
    names = []
    for call in MAKER.finditer(source):
        argument = first_argument(source, call.end())
        names += re.findall(r'"([^"]*)"', argument)
        if argument.strip() == "row.name":
            names += ROW.findall(source)
    return names


def scenarios():
    """The names of all scenarios of the repository."""
    names = []
    for parent, folders, files in os.walk("."):
        folders[:] = [name for name in folders if not name.startswith((".", "bazel-"))]
        if "BUILD.bazel" not in files:
            continue
        with open(os.path.join(parent, "BUILD.bazel")) as file:
            tests = MACRO.findall(file.read())
        for test in tests:
            with open(os.path.join(parent, test + ".cc")) as file:
                names += names_in(file.read())
    return names


def read_rows(path):
    """{name: [calls, faults, errnos, leaks, crashes, wrong codes, other]}."""
    rows = {}
    with open(path) as file:
        for line in file:
            kind, name, *cells = line.rstrip("\n").split("\t")
            if kind == "start":
                rows[name] = ["?", "?", "", "0", "1", "0", "0"]
            else:
                calls, faults, errnos, leaks, codes, other = cells
                rows[name] = [calls, faults, errnos, leaks, "0", codes, other]
    return rows


def document(error_branches, kvm, rows):
    counts = [[int(cell) if cell.isdigit() else 0 for cell in cells]
              for cells in rows.values()]
    total = [sum(column) for column in zip(*counts)]
    lines = [
        "# Fault injection, tried", "",
        "Written by `tools/fault_table`; [testing.md](testing.md) says what a scenario is",
        f"and what is checked. The figures are those of {kvm}: how many",
        "calls a scenario makes depends on what a KVM has. A test keeps the list complete.",
        "",
        f"{sum(cells[0] != '-' for cells in rows.values())} scenarios, {total[0]} calls failed with {total[1]} errnos in all:",
        f"{total[3]} leaks, {total[4]} crashes, {total[5]} wrong codes, {total[6]} other.",
        "",
        "- Calls: system calls of one run, each of them failed.",
        "- Faults: runs with a fault, one for each call and errno.",
        "- Leaks: a descriptor, a mapping or heap not given back, or given back twice.",
        "- Other: a fault that nobody noticed, an error that does not name the call, or a",
        "  declaration that came to nothing.",
        "- A dash: this KVM lacks what the scenario needs, and it was skipped.", "",
        f"In libvmm/kvm, {error_branches}.", "",
        "| scenario | calls | faults | errnos | leaks | crashes | wrong codes | other |",
        "|---|---|---|---|---|---|---|---|"]
    lines += [f"| {name} | " + " | ".join(cells) + " |"
              for name, cells in sorted(rows.items())]
    return "\n".join(lines) + "\n"


def documented(text):
    return re.findall(r"^\| (.+?) \| (?:\d+|[?-]) \|", text, re.MULTILINE)


def problems(in_code, in_document):
    found = [f"{DOCUMENT} lacks the scenario {name}; run tools/fault_table"
             for name in in_code if name not in in_document]
    found += [f"{DOCUMENT} has the scenario {name}, which no test makes"
              for name in in_document if name not in in_code]
    found += [f"two scenarios are named {name}"
              for name in sorted(set(in_code)) if in_code.count(name) > 1]
    return found


def main(arguments):
    if arguments[0] == "write":
        error_branches, kvm, path = arguments[1:]
        rows = read_rows(path)
        for name in scenarios():
            rows.setdefault(name, ["-"] * 7)
        with open(DOCUMENT, "w") as file:
            file.write(document(error_branches, kvm, rows))
        return 0
    with open(DOCUMENT) as file:
        found = problems(scenarios(), documented(file.read()))
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
