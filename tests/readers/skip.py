#!/usr/bin/env python3
"""Looks which row groups of an output DataFusion reads for one video by its id, for one hour, and for all rows.

    skip.py OUT     OUT is partitioned by month; each of its parts has several row groups

DataFusion counts them itself (EXPLAIN ANALYZE): how many it had to judge by their statistics, and how many were left. It is not told the
region, so that in each part one row group is left at least. Prints one line.
"""

import glob
import os
import re
import sys

import datafusion
import pyarrow
import pyarrow.parquet


def groups(context, question):
    """Of all row groups, and those that statistics left."""
    plan = "\n".join(row["plan"] for row in context.sql(f"EXPLAIN ANALYZE {question}").to_pylist())
    found = re.search(r"row_groups_pruned_statistics=(\d+) total . (\d+) matched", plan)
    if not found:
        raise SystemExit(f"DataFusion {datafusion.__version__} tells otherwise what it skips:\n{plan}")
    return int(found[1]), int(found[2])


def main(out):
    data = os.path.join(out, "data")
    parts = glob.glob(f"{data}/**/*.parquet", recursive=True)
    total = sum(pyarrow.parquet.read_metadata(part).num_row_groups for part in parts)
    if total < 4 * len(parts):
        raise SystemExit(f"{total} row groups in {len(parts)} parts are no test of it")
    context = datafusion.SessionContext()
    levels = [("query_region", pyarrow.string()), ("month", pyarrow.string())]
    context.register_parquet("videos", data, table_partition_cols=levels)
    order = "ORDER BY create_time, video_id"
    middle = context.sql(f"SELECT video_id, create_time FROM videos {order} LIMIT 1 OFFSET 50000").to_pylist()[0]
    hour = middle["create_time"].strftime("%Y-%m-%d %H")
    within = f"create_time >= TIMESTAMP '{hour}:00:00Z' AND create_time < TIMESTAMP '{hour}:00:00Z' + INTERVAL '1 hour'"
    told = []
    for name, where, most in [
        ("one video", f"video_id = '{middle['video_id']}'", len(parts)),
        ("one hour", within, 2 * len(parts)),
        ("all", "true", total),
    ]:
        judged, left = groups(context, f"SELECT * FROM videos WHERE {where}")
        if judged != total or not 0 < left <= most or (name == "all" and left != total):
            raise SystemExit(f"for {name}, {left} of {judged} row groups are read; there are {total}, and {most} would do")
        told.append(f"{name} {left}")
    print(f"datafusion {datafusion.__version__}: of {total} row groups it reads for {', for '.join(told)}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(sys.argv[1])
