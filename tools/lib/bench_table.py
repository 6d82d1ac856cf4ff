"""Tabulates the results of benchmarks, for tools/bench.

usage: bench_table.py JSON_OUTPUT|'' RESULT_FILE...

A result file is what --benchmark_out made: the rows of bench/twin.h, one JSON
object a line, or the report of Google's benchmark library. In the latter
"load/raw/64" is the twin of "load/64": the name with the component "raw" left
out. Its figures are the median CPU times (wall-clock times for benchmarks that
use real time) over repetitions; ratio and difference are medians over pairs of
repetitions, which the library interleaves. It times no single operation, hence
p99_ns is null; `instructions` is the user counter of that name, if there is one.
"""

import collections
import json
import re
import statistics
import sys

FIELDS = ("name", "ours_ns", "raw_ns", "ratio", "diff_ns", "p99_ns", "instructions")
NS_PER = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}
# What Google's library appends to a name to say how it was run.
DECORATION = re.compile(r"/(real_time|process_time|manual_time"
                        r"|(repeats|iterations|min_time|min_warmup_time):[^/]*)")


def google_rows(report):
    """The rows of one report of Google's benchmark library."""
    times = collections.defaultdict(list)
    counts = collections.defaultdict(list)
    for run in report["benchmarks"]:
        full_name = run["run_name"]
        if run.get("error_occurred"):
            sys.exit(f"bench_table: {full_name} failed: {run.get('error_message')}")
        if run["run_type"] != "iteration":
            continue
        clock = "real_time" if re.search("/(real|manual)_time", full_name) else "cpu_time"
        name = re.sub("^BM_", "", DECORATION.sub("", full_name))
        times[name].append(run[clock] * NS_PER[run["time_unit"]])
        if "instructions" in run:
            counts[name].append(run["instructions"])
    rows = []
    for name, ours in times.items():
        parts = name.split("/")
        if "raw" in parts:
            continue
        raw = next((times[other] for other in times
                    if "raw" in other.split("/")
                    and [p for p in other.split("/") if p != "raw"] == parts), None)
        row = dict.fromkeys(FIELDS)
        row.update(name=name, ours_ns=statistics.median(ours))
        if raw:
            pairs = list(zip(ours, raw))
            row.update(raw_ns=statistics.median(raw),
                       ratio=statistics.median(o / r for o, r in pairs),
                       diff_ns=statistics.median(o - r for o, r in pairs))
        if name in counts:
            row.update(instructions=statistics.median(counts[name]))
        rows.append(row)
    return rows


def read_rows(path):
    with open(path) as file:
        text = file.read()
    if '"benchmarks"' in text:
        return google_rows(json.loads(text))
    return [json.loads(line) for line in text.splitlines()]


def table(rows):
    def cell(row, field):
        value = row[field]
        if value is None:
            return "-"
        return f"{value:.4f}" if field == "ratio" else f"{value:.1f}"

    width = max([len(row["name"]) for row in rows] + [4])
    lines = ["name".ljust(width) + "".join(f"{field:>14}" for field in FIELDS[1:])]
    for row in rows:
        lines.append(row["name"].ljust(width) +
                     "".join(f"{cell(row, field):>14}" for field in FIELDS[1:]))
    return "\n".join(lines)


def to_json(rows):
    """An array with one row a line, six significant digits."""
    for row in rows:
        for field, value in row.items():
            if isinstance(value, float):
                row[field] = float(f"{value:.6g}")
    return "[\n" + ",\n".join(" " + json.dumps(row) for row in rows) + "\n]\n"


def main(arguments):
    output, *paths = arguments
    rows = [row for path in paths for row in read_rows(path)]
    if not rows:
        sys.exit("bench_table: no benchmark has a matching name")
    print(table(rows))
    if output:
        with open(output, "w") as file:
            file.write(to_json(rows))


if __name__ == "__main__":
    main(sys.argv[1:])
