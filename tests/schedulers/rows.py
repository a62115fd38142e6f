#!/usr/bin/env python3
"""Ends with 0 where two outputs have the same rows, each once.

    rows.py OUT OUT

When and by which answer a row was fetched is left out: no two runs have that in common.
"""

import sys

import pyarrow.dataset


def rows(out):
    table = pyarrow.dataset.dataset(f"{out}/data", format="parquet", partitioning="hive").to_table()
    table = table.drop_columns(["_fetched_at", "_request_id"]).sort_by([("query_region", "ascending"), ("video_id", "ascending")])
    return table.select(sorted(table.column_names)).to_pylist()


one, other = (rows(out) for out in sys.argv[1:3])
names = [(row["query_region"], row["video_id"]) for row in one]
print(f"{len(one)} rows and {len(other)}, {len(set(names))} different videos")
sys.exit(not (one and one == other and len(set(names)) == len(names)))
