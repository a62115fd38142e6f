#!/usr/bin/env python3
"""Tries what `keyapi-export schema --format` prints, with an output's own rows.

    schema.py ENGINE OUT FOLDER     FOLDER holds arrow, json-schema, ddl-duckdb, ddl-spark and ddl-clickhouse

ENGINE is duckdb, spark, clickhouse (as chdb), pyarrow or json. An engine makes the table of its statement and takes all rows of OUT/data
into it; of Spark it is a table over the files where they lie. Then the rows must be the manifest's, the types those that the engine
itself finds in the files, and a reader that would have to change a value must have failed. Prints one line.
"""

import datetime
import decimal
import json
import os
import sys


def rows_of(out):
    with open(os.path.join(out, "_manifest.json"), encoding="utf-8") as file:
        return sum(part["rows"] for part in json.load(file)["parts"])


def must(is_so, *what):
    if not is_so:
        raise SystemExit(" ".join(str(one) for one in what))


def duckdb(out, statement, rows):
    import duckdb as reader

    connection = reader.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(statement)
    files = f"read_parquet('{out}/data/**/*.parquet', hive_partitioning = true)"
    connection.execute(f"INSERT INTO videos BY NAME SELECT * FROM {files}")
    types = {
        source: {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()}
        for source in ["videos", files]
    }
    must(types["videos"] == types[files], "the types differ from those of the files:", types)
    for left, right in [("videos", files), (files, "videos")]:
        left, right = (f"SELECT {', '.join(sorted(types['videos']))} FROM {source}" for source in [left, right])
        more = connection.execute(f"SELECT count(*) FROM ({left} EXCEPT ALL {right})").fetchone()[0]
        must(more == 0, more, "rows are other rows in the table")
    comments = connection.execute("SELECT count(*) FROM duckdb_columns() WHERE table_name = 'videos' AND comment != ''")
    must(comments.fetchone()[0] == len(types["videos"]), "a column has no comment")
    return reader.__version__, connection.execute("SELECT count(*) FROM videos").fetchone()[0]


def spark(out, statement, rows):
    import pyspark as reader
    from pyspark.sql import SparkSession

    builder = SparkSession.builder.master("local[2]").appName("schema")
    builder = builder.config("spark.ui.enabled", "false").config("spark.driver.bindAddress", "127.0.0.1")
    builder = builder.config("spark.driver.host", "127.0.0.1").config("spark.sql.session.timeZone", "UTC")
    session = builder.getOrCreate()
    data = os.path.abspath(os.path.join(out, "data"))
    session.sql(f"{statement.rstrip().removesuffix(';')} LOCATION '{data}'")
    session.sql("MSCK REPAIR TABLE videos")
    table, files = session.table("videos"), session.read.parquet(data)
    must(dict(table.dtypes) == dict(files.dtypes), "the types differ from those of the files:", table.dtypes)
    must(all("comment" in field.metadata for field in table.schema.fields), "a column has no comment")
    names = sorted(table.columns)
    must(table.select(names).exceptAll(files.select(names)).isEmpty(), "rows are other rows in the table")
    return reader.__version__, table.count()


def clickhouse(out, statement, rows):
    import chdb as reader
    from chdb.session import Session

    session = Session()
    session.query("CREATE DATABASE lake ENGINE = Atomic")
    session.query("USE lake")
    session.query(statement)
    query = lambda text: session.query(text, "JSONCompact")
    columns = [name for name, *_ in json.loads(str(query("DESCRIBE TABLE videos")))["data"]]
    files = f"file('{os.path.abspath(out)}/data/**/*.parquet')"
    listed = ", ".join(f"`{name}`" for name in columns)
    # What the column cannot hold as it is would be an error.
    for _ in range(2):
        session.query(f"INSERT INTO videos ({listed}) SELECT {listed} FROM {files}")
    one = lambda text: json.loads(str(query(text)))["data"][0]
    # A row that came twice is there once.
    count = int(one("SELECT count() FROM videos FINAL")[0])
    sums = "sum(total_digg_cnt), sum(total_video_sale_gmv_amt), min(create_time), max(create_time), uniqExact(video_id), count(duration)"
    lists = "sum(length(video_products)), sum(length(product_category_list)), sum(cityHash64(toString(video_products)))"
    there, here = (one(f"SELECT {sums}, {lists} FROM {source}") for source in [files, "videos FINAL"])
    must(there == here, "the files have", there, "and the table", here)
    return reader.__version__, count


def pyarrow(out, path, rows):
    import pyarrow as reader
    import pyarrow.dataset as dataset

    with reader.ipc.open_stream(path) as stream:
        schema = stream.schema
    data = os.path.join(out, "data")
    levels = [name for name in schema.names if name in ["query_region", "snapshot", "date", "month"]]
    levels = dataset.partitioning(reader.schema([schema.field(name) for name in levels]), flavor="hive")
    table = dataset.dataset(data, schema=schema, partitioning=levels).to_table()
    found = dataset.dataset(data, partitioning="hive").schema
    same = [name for name in found.names if name != "date"]
    must(all(found.field(name).type == schema.field(name).type for name in same), "the types differ:", found, schema)
    must(table.schema.field("date").type == reader.date32() and table["date"].null_count == 0, "date is no date")
    return reader.__version__, table.num_rows


def json_rows(out, path, rows):
    import importlib.metadata

    import jsonschema
    import pyarrow.dataset

    def plain(value):
        if isinstance(value, (datetime.datetime, datetime.date)):
            return value.isoformat()
        if isinstance(value, decimal.Decimal):
            return float(value)
        if isinstance(value, list):
            return [plain(one) for one in value]
        return value

    with open(path, encoding="utf-8") as file:
        schema = json.load(file)
    validator = jsonschema.Draft202012Validator
    validator.check_schema(schema)
    known = set(schema["properties"])
    validate = validator(schema, format_checker=validator.FORMAT_CHECKER).validate
    table = pyarrow.dataset.dataset(os.path.join(out, "data"), partitioning="hive").to_table()
    must(set(table.column_names) == known, "the columns differ:", set(table.column_names) ^ known)
    # A part of them, since each takes about a millisecond; and none may be any object.
    for row in table.slice(0, 2000).to_pylist():
        validate({name: plain(value) for name, value in row.items()})
    must(not validator(schema).is_valid({"sales_flag": "1"}), "a wrong row is taken")
    return importlib.metadata.version("jsonschema"), table.num_rows


ENGINES = {
    "duckdb": (duckdb, "ddl-duckdb"),
    "spark": (spark, "ddl-spark"),
    "clickhouse": (clickhouse, "ddl-clickhouse"),
    "pyarrow": (pyarrow, "arrow"),
    "json": (json_rows, "json-schema"),
}


def main(arguments):
    if len(arguments) != 3 or arguments[0] not in ENGINES:
        raise SystemExit(__doc__)
    os.environ["TZ"] = "UTC"
    name, out, folder = arguments
    attempt, form = ENGINES[name]
    given = os.path.join(folder, form)
    if form.startswith("ddl"):
        with open(given, encoding="utf-8") as file:
            given = file.read()
    expected = rows_of(out)
    version, rows = attempt(out, given, expected)
    must(rows == expected, name, version, "has", rows, "rows, and the manifest", expected)
    print(f"{name} {version}: {rows} rows by schema --format {form.replace('-', ':', 1) if form.startswith('ddl') else form}")


if __name__ == "__main__":
    main(sys.argv[1:])
