"""python tests/bench/joins/with_datafusion.py ARCHIVE OUT MEMORY_MB SPILL_MB: prints how many pictures it kept.

Its reader ends at the first row with a separator too many, or with bytes that are no text: ARCHIVE is to have none. Its
hash join keeps one side in memory whatever the limit is: it is asked for the join that sorts, which spills."""

import sys

from datafusion import RuntimeEnvBuilder, SessionConfig, SessionContext
from plan import ENOUGH, PICTURE, SAMPLES, header

folder, out, memory, spill = sys.argv[1:]
runtime = RuntimeEnvBuilder().with_temp_file_path(out).with_fair_spill_pool(int(memory) * 1_000_000)
config = SessionConfig().with_target_partitions(2).set("datafusion.optimizer.prefer_hash_join", "false")
context = SessionContext(config, runtime)
context.sql(f"SET datafusion.runtime.max_temp_directory_size = '{spill}M'").collect()


def write(query, name):
    table = f"{out}/{name}.parquet"
    context.sql(f"COPY ({query}) TO '{table}' STORED AS PARQUET OPTIONS ('format.compression' 'zstd(1)')").collect()
    context.register_parquet(name, table)


for name in ("occurrence", "multimedia"):
    columns = ", ".join(f'"{column}" VARCHAR' for column in header(f"{folder}/{name}.txt"))
    options = "'format.has_header' 'true', 'format.delimiter' '\t', 'format.quote' '\x01'"
    context.sql(
        f"CREATE EXTERNAL TABLE {name}_rows ({columns}) STORED AS CSV LOCATION '{folder}/{name}.txt' OPTIONS ({options})"
    ).collect()
write(PICTURE.format(occurrence="occurrence_rows", media="multimedia_rows"), "picture")
write(ENOUGH, "enough")
write(SAMPLES, "samples")
print(context.table("samples").count())
