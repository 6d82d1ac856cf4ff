"""Tabulates the results of benchmarks, for tools/bench.

usage: bench_table.py JSON_OUTPUT|'' RESULT_FILE...

A result file has the rows of bench/twin.h, one JSON object a line.
"""

import json
import sys

FIELDS = ("name", "ours_ns", "raw_ns", "ratio", "diff_ns", "p99_ns", "instructions")


def read_rows(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


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
