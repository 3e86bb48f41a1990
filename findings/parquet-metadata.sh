#!/bin/sh
# Which data tools keep a Parquet file's own key-value metadata when they read the file and write it again.
#
# Seen with DuckDB 2.0.1, polars 2.1.0, pandas 3.1.1 and pyarrow 26.0.1: pyarrow keeps it. DuckDB's `copy (select * …)`,
# polars' `read_parquet(…).write_parquet(…)` and pandas' `read_parquet(…).to_parquet(…)` drop it without a word, and
# pandas also turns a column of whole numbers with nulls into one of floats. Where a format keeps its header in the
# metadata, as Parquet invites it to, its files are anonymous afterwards.
#
# Prints a line for each tool; exits with 1 if one of them does something else. Needs python3 with pip; leaves nothing.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check \
    duckdb==2.0.1 polars==2.1.0 pandas==3.1.1 pyarrow==26.0.1
cd "$folder"
env/bin/python - <<'PYTHON'
import sys
import duckdb, pandas, polars, pyarrow, pyarrow.parquet as parquet

table = pyarrow.table({"kind": ["a", "b"], "count": pyarrow.array([1, None], pyarrow.uint32())})
parquet.write_table(table.replace_schema_metadata({"my_format": '{"version": 1}'}), "first.parquet")
duckdb.sql("copy (select * from 'first.parquet') to 'duckdb.parquet' (format parquet)")
polars.read_parquet("first.parquet").write_parquet("polars.parquet")
pandas.read_parquet("first.parquet").to_parquet("pandas.parquet")
parquet.write_table(parquet.read_table("first.parquet"), "pyarrow.parquet")

seen = {}
for module in (duckdb, polars, pandas, pyarrow):
    name = module.__name__
    file = parquet.ParquetFile(f"{name}.parquet")
    keeps = b"my_format" in (file.metadata.metadata or {})
    column = file.schema.column(1)
    seen[name] = (keeps, column.physical_type)
    print(f"{name} {module.__version__}: {'keeps' if keeps else 'drops'} the key, `count` is {column.physical_type}")
expected = {
    "duckdb": (False, "INT32"),
    "polars": (False, "INT32"),
    "pandas": (False, "DOUBLE"),
    "pyarrow": (True, "INT32"),
}
sys.exit(0 if seen == expected else "this is not what was seen before")
PYTHON
