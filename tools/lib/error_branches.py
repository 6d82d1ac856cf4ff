"""Which error branches of the library the tests have executed, from gcov's data.

usage: error_branches.py OBJECT_FOLDER SOURCE_FOLDER MIN_PERCENT

An error branch is a place in SOURCE_FOLDER's code (no tests) where a function
gives its caller an error:

- a LIBVMM_RETURN_IF_ERROR or LIBVMM_ASSIGN_OR_RETURN, whose error side returns;
- a `return` of a Status that is an error by its text: absl::SomethingError(...),
  ErrnoStatus(...), absl::Status(...), a function of the folder whose name ends in
  Error, or Malformed, Explain or WithoutCapability, which only make errors;
- a `return x` or `return x.status()` in the block of an `if (!y.ok())`.

A tail call (`return CallIoctl(...).status();`) has no branch and does not count.

A `return` counts as executed when gcov counted one of its lines. A macro, and a
`return` on the line of its `if`, share a line with code that always runs, so
branches are looked at: g++ without optimisation makes the error side the
fall-through of the macro's first branch, and of an if's last condition. What that
does not decide counts as executed only when every branch of the line was taken.
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
                   r"|\w*Error(?:<\w+>)?|Explain\w*|Refus\w*|Malformed)\(")
NOT_OK = re.compile(r"!\s*\w+(?:\.\w+\(\))?\.ok\(\)")
STATUS = re.compile(r"return\s+(?:std::move\()?\w+\)?(?:\.status\(\))?;$")

Site = collections.namedtuple("Site", "path line last_line kind text")
# Of one line in one instance of its function.
Record = collections.namedtuple("Record", "count branches")
Branch = collections.namedtuple("Branch", "count is_fall_through")


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
        last = code.count("\n", 0, statement_end(code, position)) + 1
        found.append(Site(path, line, last, kind, lines[line - 1].strip()))

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
    """{path: {line: [a Record per function instance and object]}}."""
    lines = {}
    for document in documents:
        for file in document["files"]:
            path = re.sub(r"^.*/(?=libvmm/)", "", file["file"])
            for line in file["lines"]:
                records = lines.setdefault(path, {}).setdefault(line["line_number"], [])
                records.append(Record(line["count"], [
                    Branch(branch["count"], branch["fallthrough"])
                    for branch in line["branches"]]))
    return lines


def executed(site, lines):
    """Whether the error branch was taken; `lines` as from read_gcov, of its file."""
    records = [record for number in range(site.line, site.last_line + 1)
               for record in lines.get(number, [])]
    if site.kind == "line":
        return any(record.count > 0 for record in records)
    for _, branches in records:
        if branches and all(branch.count for branch in branches):
            return True
        if site.kind == "macro":
            # A second pair is the way out of the macro's scope.
            decided = len(branches) in (2, 4) and branches[0].is_fall_through
            if decided and branches[0].count > 0:
                return True
        elif len(branches) >= 2 and "?" not in site.text and branches[-2].count > 0:
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
    """The table's rows, how many branches were executed and how many there are."""
    states = [executed(site, lines.get(site.path, {})) for site in sites]
    rows = [f"{'executed' if state else 'MISSING ':8}  {site.path}:{site.line}: "
            f"{site.text}" for site, state in zip(sites, states)]
    return rows, sum(states), len(states)


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
