"""python tests/bench/joins/with_duckdb.py ARCHIVE OUT MEMORY_MB SPILL_MB: prints how many pictures it kept.

Its reader keeps a row with one blank cell too many, and bytes that are no text in columns that are not asked for: ARCHIVE is to
have no rows that are none."""

import sys

import duckdb
from plan import ENOUGH, PICTURE, SAMPLES

folder, out, memory, spill = sys.argv[1:]
database = duckdb.connect(f"{out}/tables.db")
database.execute("SET enable_progress_bar=false; SET threads=2; SET preserve_insertion_order=false")
database.execute(f"SET memory_limit='{memory}MB'; SET temp_directory='{out}/spill'; SET max_temp_directory_size='{spill}MB'")


def rows(name):
    options = "delim='\\t', quote='', escape='', header=true, all_varchar=true, ignore_errors=true, null_padding=false"
    return f"read_csv('{folder}/{name}', {options})"


picture = PICTURE.format(occurrence=rows("occurrence.txt"), media=rows("multimedia.txt"))
database.execute(f"CREATE TABLE picture AS {picture}")
database.execute(f"CREATE TABLE enough AS {ENOUGH}")
database.execute(f"COPY ({SAMPLES}) TO '{out}/samples.parquet' (FORMAT parquet, COMPRESSION zstd)")
print(database.execute(f"SELECT count(*) FROM '{out}/samples.parquet'").fetchone()[0])
