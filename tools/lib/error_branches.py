"""Which error branches of the library the tests have executed, from gcov's data.

usage: error_branches.py OBJECT_FOLDER SOURCE_FOLDER MIN_PERCENT

An error branch is a place in SOURCE_FOLDER's code (no tests) where a function
gives its caller an error:

- a LIBVMM_RETURN_IF_ERROR or LIBVMM_ASSIGN_OR_RETURN, whose error side returns;
- a `return` of a Status that is an error by its text: absl::SomethingError(...),
  ErrnoStatus(...), absl::Status(...), a function of the folder whose name ends in
  Error or starts with Explain or Refus, WithoutCapability(...);
- a `return x` or `return x.status()` in the block of an `if (!y.ok())`.

A tail call (`return CallIoctl(...).status();`) has no branch and does not count.

Lines that are one statement count as executed when gcov counted them. A macro and a
`return` on the line of its `if` share that line with code that always runs, so
their branches are looked at: g++ without optimisation makes the error side the
fall-through of the macro's first branch, and of an if's last one. What that does
not decide counts as executed only when every branch of the line was taken.
"""

import collections
import glob
import json
import os
import re
import subprocess
import sys

MACRO = re.compile(r"\bLIBVMM_(?:RETURN_IF_ERROR|ASSIGN_OR_RETURN)\(")
ERROR = re.compile(r"\b(?:absl::\w+Error|absl::Status|ErrnoStatus|WithoutCapability"
                   r"|\w*Error(?:<\w+>)?|Explain\w*|Refus\w*)\(")
NOT_OK = re.compile(r"!\s*\w+(?:\.\w+\(\))?\.ok\(\)")
STATUS = re.compile(r"return\s+(?:std::move\()?\w+\)?(?:\.status\(\))?;$")

Site = collections.namedtuple("Site", "path line kind text")


def blank_comments_and_strings(text):
    """`text` with comments and literals blanked, every character in its place."""
    pattern = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])\'',
                         re.DOTALL)
    return pattern.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def statement_end(text, start):
    """The end of the statement at `start`: the first ; outside brackets."""
    depth = 0
    for position in range(start, len(text)):
        if text[position] in "([{":
            depth += 1
        elif text[position] in ")]}":
            depth -= 1
        elif text[position] == ";" and depth <= 0:
            return position + 1
    return len(text)


def condition_before(text, position):
    """The condition of the `if` whose body starts at `position`, and its offset."""
    before = text[:position].rstrip()
    if before.endswith("{"):
        before = before[:-1].rstrip()
    if not before.endswith(")"):
        return None, None
    depth = 0
    for start in range(len(before) - 1, -1, -1):
        depth += (before[start] == ")") - (before[start] == "(")
        if depth == 0:
            match = re.search(r"\bif\s*(?:constexpr\s*)?$", before[:start])
            return (before[start:], match.start()) if match else (None, None)
    return None, None


def condition_around(text, position):
    """The condition of the `if` in whose block `position` is, if it is in one."""
    depth = 0
    for start in range(position - 1, -1, -1):
        depth += (text[start] == "}") - (text[start] == "{")
        if depth < 0:
            return condition_before(text, start)[0]
    return None


def sites_in(path, text):
    """The error branches of one file."""
    code = blank_comments_and_strings(text)
    code = re.sub(r"(?m)^#(?:.*\\\n)*.*$", lambda m: re.sub(r"[^\n]", " ", m.group()),
                  code)
    lines = text.splitlines()
    found = []

    def add(position, kind):
        line = code.count("\n", 0, position) + 1
        found.append(Site(path, line, kind, lines[line - 1].strip()))

    for match in MACRO.finditer(code):
        add(match.start(), "macro")
    for match in re.finditer(r"\breturn\b", code):
        statement = code[match.start():statement_end(code, match.start())]
        statement = " ".join(statement.split())
        condition, if_offset = condition_before(code, match.start())
        if "OkStatus()" in statement and "?" in statement:
            add(match.start(), "line branch")
        elif ERROR.search(statement) or STATUS.match(statement) and any(
                NOT_OK.search(text or "")
                for text in (condition, condition_around(code, match.start()))):
            same_line = if_offset is not None and \
                "\n" not in code[if_offset:match.start()]
            add(match.start(), "line branch" if same_line else "line")
    return sorted(found, key=lambda site: site.line)


def read_gcov(documents):
    """{path: {line: [one record per function instance, summed over objects]}}."""
    lines = {}
    for document in documents:
        for file in document["files"]:
            path = re.sub(r"^.*/(?=libvmm/)", "", file["file"])
            for line in file["lines"]:
                records = lines.setdefault(path, {}).setdefault(line["line_number"], [])
                records.append((line["count"], line["unexecuted_block"],
                                [branch["count"] for branch in line["branches"]]))
    return lines


def executed(site, records):
    """True, False, or None when nothing was compiled of it."""
    if not records:
        return None
    if site.kind == "line":
        return any(count > 0 for count, _, _ in records)
    for _, unexecuted, counts in records:
        if not counts:
            continue
        if all(counts) or not unexecuted:
            return True
        # The error side: see this file's comment. A macro's second pair of
        # branches is the way out of its scope.
        if site.kind == "macro":
            if len(counts) <= 4 and counts[0] > 0:
                return True
        elif len(counts) >= 2 and "?" not in site.text and counts[-2] > 0:
            return True
    return False


def gcov_documents(object_folder, source_folder):
    """gcov's JSON of every counter file of the folder's objects."""
    data = []
    for parent, _, names in os.walk(os.path.join(object_folder, source_folder)):
        data += [os.path.join(parent, name) for name in names if name.endswith(".gcno")]
    for notes in sorted(data):
        done = subprocess.run(["gcov", "--json-format", "--branch-probabilities",
                               "--stdout", notes], capture_output=True, check=True,
                              cwd=object_folder)
        for line in done.stdout.splitlines():
            if line.strip():
                yield json.loads(line)


def library_sources(folder):
    names = sorted(glob.glob(os.path.join(folder, "**", "*.cc"), recursive=True) +
                   glob.glob(os.path.join(folder, "**", "*.h"), recursive=True))
    return [name for name in names if not re.search(r"_(test|fuzz)\.|/testing/", name)]


def report(sites, lines):
    """The table as text, how many were executed and how many there are."""
    rows, done, total = [], 0, 0
    for site in sites:
        state = executed(site, lines.get(site.path, {}).get(site.line))
        if state is None:
            # A template or inline function that nothing instantiates is code
            # that no test reaches.
            state = False
        total += 1
        done += state
        rows.append(f"{'executed' if state else 'MISSING ':8}  "
                    f"{site.path}:{site.line}: {site.text}")
    return rows, done, total


def main(arguments):
    object_folder, source_folder, least = arguments
    sites = []
    for path in library_sources(source_folder):
        with open(path) as file:
            sites += sites_in(path, file.read())
    rows, done, total = report(sites, read_gcov(gcov_documents(object_folder,
                                                               source_folder)))
    print("\n".join(rows))
    percent = 100 * done / total if total else 0
    print(f"{done} of {total} error branches executed: {percent:.1f}%")
    return 0 if percent >= float(least) else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
