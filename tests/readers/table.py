#!/usr/bin/env python3
"""Reads an output that is a Delta table too with readers of such tables, and holds what they read against the manifest.

    table.py READER OUT SCHEMA

READER is deltalake, polars or duckdb. SCHEMA is a file that holds what `keyapi-export schema` prints. The table has at least two versions, and
the last one holds the rows of the one before it in other files; it is partitioned by day.
"""

import datetime
import glob
import importlib.util
import json
import os
import re
import sys

# What the words of the schema are to pyarrow.
KINDS = {
    "text": {"string", "large_string", "string_view"},
    "timestamp (ms, UTC)": {"timestamp[us, tz=UTC]"},
    "boolean": {"bool"},
    "int8": {"int8"},
    "int32": {"int32"},
    "int64": {"int64"},
    "decimal (18, 4)": {"decimal128(18, 4)"},
}


def manifest_of(out):
    with open(f"{out}/_manifest.json", encoding="utf-8") as file:
        return json.load(file)


def parts_of(out, day=None):
    parts = manifest_of(out)["parts"]
    return [part for part in parts if day is None or f"/date={day}/" in part["path"]]


def rows_of(parts):
    return sum(part["rows"] for part in parts)


def same(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found}, and {expected} would be right")


def some_day(out):
    days = sorted({re.search(r"/date=([0-9-]+)/", part["path"]).group(1) for part in parts_of(out)})
    return days[len(days) // 2]


def columns_of(schema):
    lines = open(schema, encoding="utf-8").read().splitlines()[2:]
    columns = [re.split(r" {2,}", line.strip())[:2] for line in lines if line.strip()]
    return dict(columns)


def deltalake(out, schema):
    import deltalake as reader
    import pyarrow as arrow
    import pyarrow.compute as compute

    table = reader.DeltaTable(f"{out}/data")
    last, day = table.version(), some_day(out)
    same("version", last, manifest_of(out)["table"]["version"])
    whole = table.to_pyarrow_table()
    same("rows", whole.num_rows, rows_of(parts_of(out)))
    kinds = {field.name: str(field.type) for field in whole.schema}
    for name, kind in columns_of(schema).items():
        if kinds[name] not in KINDS.get(kind, {kinds[name]}):
            sys.exit(f"{name} is {kinds[name]}, and not {kind}")
    same("levels", (kinds["query_region"], kinds["date"]), ("string", "date32[day]"))
    same("lists", kinds["video_products"].startswith("list<"), True)
    # By the partition, then by the bounds of a column: files that hold nothing of it are not opened.
    files = table.to_pyarrow_dataset()
    of_day = compute.field("date") == arrow.scalar(datetime.date.fromisoformat(day))
    same("files of a day", len(list(files.get_fragments(filter=of_day))), len(parts_of(out, day)))
    same("rows of a day", files.count_rows(filter=of_day), rows_of(parts_of(out, day)))
    midnight = datetime.datetime.fromisoformat(f"{day}T00:00:00+00:00")
    before = compute.field("create_time") < arrow.scalar(midnight, arrow.timestamp("us", tz="UTC"))
    earlier = [part for part in parts_of(out) if part["range"]["start"] < midnight.timestamp()]
    same("files before a moment", len(list(files.get_fragments(filter=before))), len(earlier))
    same("rows before a moment", files.count_rows(filter=before), rows_of(earlier))
    # The version before, which holds the same rows in other files.
    former = reader.DeltaTable(f"{out}/data", version=last - 1)
    same("files of two versions in common", set(former.file_uris()) & set(table.file_uris()), set())
    order = [("query_region", "ascending"), ("video_id", "ascending")]
    same("rows of the version before", former.to_pyarrow_table().sort_by(order).equals(whole.sort_by(order)), True)
    same("versions told", len(table.history()), last + 1)
    # A checkpoint of a reader's own stands beside the log; it is nothing to this program.
    table.create_checkpoint()
    same("rows by a checkpoint", reader.DeltaTable(f"{out}/data").to_pyarrow_table().num_rows, whole.num_rows)
    return reader.__version__


def polars(out, _schema):
    import polars as reader

    day = some_day(out)
    frame = reader.scan_delta(f"{out}/data")
    same("rows", frame.select(reader.len()).collect().item(), rows_of(parts_of(out)))
    of_day = frame.filter(reader.col("date") == datetime.date.fromisoformat(day))
    same("rows of a day", of_day.select(reader.len()).collect().item(), rows_of(parts_of(out, day)))
    same("a time", str(frame.collect_schema()["create_time"]), "Datetime(time_unit='us', time_zone='UTC')")
    same("an amount", str(frame.collect_schema()["total_video_sale_gmv_amt"]), "Decimal(precision=18, scale=4)")
    return reader.__version__


def duckdb(out, _schema):
    import duckdb as reader

    day, connection = some_day(out), reader.connect()
    # From the package that pip has brought; DuckDB would fetch it from a place of its own.
    extension = importlib.util.find_spec("duckdb_extension_delta").submodule_search_locations[0]
    for file in glob.glob(f"{extension}/extensions/**/delta.duckdb_extension*", recursive=True):
        connection.execute(f"LOAD '{file}'")
    count = "SELECT count(*) FROM delta_scan(?)"
    same("rows", connection.execute(count, [f"{out}/data"]).fetchone()[0], rows_of(parts_of(out)))
    of_day = connection.execute(f"{count} WHERE date = '{day}'", [f"{out}/data"]).fetchone()[0]
    same("rows of a day", of_day, rows_of(parts_of(out, day)))
    return reader.__version__


if __name__ == "__main__":
    reader, out, schema = sys.argv[1:]
    print(reader, {"deltalake": deltalake, "polars": polars, "duckdb": duckdb}[reader](out, schema), flush=True)
    # deltalake 1.6.6 beside pyarrow 26.0.1 sometimes aborts when its threads are taken down, after all is done.
    os._exit(0)
