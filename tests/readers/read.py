#!/usr/bin/env python3
"""Reads an output whole with one reader, and compares what several readers read.

    read.py read READER OUT SCHEMA > REPORT     every row and column of OUT/data, as a digest for each column
    read.py compare OUT REPORT...               all reports must have the manifest's rows and the same digests

READER is duckdb, polars, pyarrow, spark or datafusion. SCHEMA is a file that holds what `keyapi-export schema` prints: it says
which columns there must be, and of what kind. Each reader is asked the way that its own documentation shows, for the folder
`OUT/data` with its levels `query_region=` and `date=`. A value counts as what it means: a moment is its milliseconds, an
amount its digits with four places.
"""

import datetime
import decimal
import hashlib
import json
import os
import re
import sys

# The levels of the folders, which a reader gives as columns; these are of an output that is partitioned by day.
LEVELS = ["query_region", "date"]
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.timezone.utc)
MILLISECOND = datetime.timedelta(milliseconds=1)


def duckdb(data, video):
    import duckdb as reader

    connection = reader.connect()
    connection.execute("SET TimeZone = 'UTC'")
    wanted, values = ("WHERE video_id = ?", [video]) if video else ("", [])
    found = connection.execute(
        f"SELECT * FROM read_parquet(?, hive_partitioning = true, hive_types_autocast = false) {wanted}",
        [f"{data}/**/*.parquet", *values],
    )
    names = [column[0] for column in found.description]
    return reader.__version__, dict(zip(names, map(list, zip(*found.fetchall()))))


def polars(data, video):
    import polars as reader

    frame = reader.scan_parquet(f"{data}/**/*.parquet", hive_partitioning=True)
    frame = (frame.filter(reader.col("video_id") == video) if video else frame).collect()
    return reader.__version__, {name: frame[name].to_list() for name in frame.columns}


def pyarrow(data, video):
    import pyarrow as reader
    import pyarrow.dataset

    wanted = pyarrow.dataset.field("video_id") == video if video else None
    table = pyarrow.dataset.dataset(data, format="parquet", partitioning="hive").to_table(filter=wanted)
    return reader.__version__, {name: table[name].to_pylist() for name in table.column_names}


def datafusion(data, video):
    import datafusion as reader
    import pyarrow as arrow

    levels = [(level, arrow.string()) for level in LEVELS]
    frame = reader.SessionContext().read_parquet(data, table_partition_cols=levels)
    frame = frame.filter(reader.col("video_id") == reader.lit(video)) if video else frame
    table = arrow.Table.from_batches(frame.collect())
    return reader.__version__, {name: table[name].to_pylist() for name in table.column_names}


def spark(data, video):
    import pyspark as reader
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").appName("readers")
    builder = builder.config("spark.ui.enabled", "false").config("spark.driver.bindAddress", "127.0.0.1")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.driver.memory", "3g")
    session = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    frame = session.read.parquet(data)
    frame = frame.where(frame["video_id"] == video) if video else frame
    rows = [row.asDict(recursive=True) for row in frame.collect()]
    return reader.__version__, {name: [row[name] for row in rows] for name in frame.columns}


READERS = {reader.__name__: reader for reader in [duckdb, polars, pyarrow, spark, datafusion]}


def moment(value):
    # Spark gives moments without a zone, in that of the process, which `main` makes UTC.
    aware = value if value.tzinfo else value.replace(tzinfo=datetime.timezone.utc)
    return (aware - EPOCH) // MILLISECOND


def amount(value):
    if not isinstance(value, decimal.Decimal):
        raise TypeError(f"{value!r} is no decimal")
    return f"{value:.4f}"


def plain(kind):
    def unchanged(value):
        if type(value) is not kind:
            raise TypeError(f"{value!r} is no {kind.__name__}")
        return value

    return unchanged


def listed(item):
    return lambda values: [item(value) for value in values]


def category(value):
    if sorted(value) != ["category_id", "category_name"]:
        raise TypeError(f"{value!r} is no category")
    return [value["category_id"], value["category_name"]]


# What a column's values mean, by the words of `keyapi-export schema`.
KINDS = {
    "text": plain(str),
    "timestamp (ms, UTC)": moment,
    "boolean": plain(bool),
    "int8": plain(int),
    "int32": plain(int),
    "int64": plain(int),
    "decimal (18, 4)": amount,
    "list of text": listed(plain(str)),
    "list of struct (category_id text, category_name text)": listed(category),
}


def schema(path):
    """The columns that there must be, each with its kind."""
    with open(path, encoding="utf-8") as file:
        lines = [re.split(r" {2,}", line.strip(), maxsplit=2) for line in file if re.search(r"\S {2,}\S", line)]
    return {name: kind for name, kind, _ in lines}


def read(reader, out, schema_path):
    data = os.path.join(out, "data")
    version, columns = READERS[reader](data, None)
    kinds = schema(schema_path)
    if sorted(columns) != sorted([*kinds, *LEVELS]):
        raise SystemExit(f"{reader} {version} finds other columns: {sorted(columns)}")
    if columns["query_region"] != columns["_query_region"]:
        raise SystemExit(f"{reader} {version} finds rows of a region below the folder of another")
    rows = len(columns["video_id"])
    order = sorted(range(rows), key=lambda row: (columns["_query_region"][row], columns["video_id"][row]))
    # One video by its id: the way through statistics, page index and bloom filter, where a reader uses them.
    video = columns["video_id"][order[rows // 2]]
    _, found = READERS[reader](data, video)
    if found["video_id"] != [video]:
        raise SystemExit(f"{reader} {version} finds {found['video_id']} where it is asked for {video}")
    digests = {}
    for name, kind in kinds.items():
        meaning, values = KINDS[kind], columns[name]
        meant = [None if values[row] is None else meaning(values[row]) for row in order]
        digest = hashlib.sha256(json.dumps(meant).encode()).hexdigest()
        digests[name] = {"digest": digest, "values": sum(value is not None for value in meant)}
    print(json.dumps({"reader": reader, "version": version, "rows": rows, "columns": digests}))


def compare(out, paths):
    with open(os.path.join(out, "_manifest.json"), encoding="utf-8") as file:
        rows = sum(part["rows"] for part in json.load(file)["parts"])
    reports = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            # What a reader prints of itself comes before.
            reports.append(json.loads(file.read().splitlines()[-1]))
    first, wrong = reports[0], []
    for report in reports:
        name = f"{report['reader']} {report['version']}"
        values = sum(column["values"] for column in report["columns"].values())
        print(f"{name:24} {report['rows']} rows, {len(report['columns'])} columns, {values} values")
        if report["rows"] != rows:
            wrong.append(f"{name} has {report['rows']} rows, and the manifest {rows}")
        for column, found in report["columns"].items():
            if found != first["columns"][column]:
                wrong.append(f"{name} reads {column} otherwise than {first['reader']} {first['version']}")
            if found["values"] == 0:
                wrong.append(f"{name} reads no value in {column}: the output is no test of it")
    if wrong:
        raise SystemExit("\n".join(wrong))


def main(arguments):
    os.environ["TZ"] = "UTC"
    if len(arguments) == 4 and arguments[0] == "read" and arguments[1] in READERS:
        read(*arguments[1:])
    elif len(arguments) > 2 and arguments[0] == "compare":
        compare(arguments[1], arguments[2:])
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
