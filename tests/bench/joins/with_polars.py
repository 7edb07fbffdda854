"""python tests/bench/joins/with_polars.py ARCHIVE OUT MEMORY_MB SPILL_MB: prints how many pictures it kept.

No limit of memory can be set: the last two are not looked at. Its reader cuts off cells that are too many and keeps the row:
ARCHIVE is to have no rows that are none."""

import sys

import polars as pl

folder, out = sys.argv[1:3]


def rows(name):
    return pl.scan_csv(f"{folder}/{name}", separator="\t", quote_char=None, infer_schema=False, empty_string_is_null=False)


def text(name, begin):
    return pl.col(name).str.starts_with(begin)


occurrence = (
    rows("occurrence.txt")
    .filter(pl.col("occurrenceStatus") != "ABSENT", ~text("kingdom", "incertae"), ~pl.col("scientificName").str.contains("×", literal=True))
    .select("gbifID", "genus", "species", observer="recordedBy")
    .unique()
)
media = (
    rows("multimedia.txt")
    .filter(pl.col("type") == "StillImage", pl.col("format") == "image/jpeg", text("identifier", "http"))
    .select("gbifID", image="identifier", licence="license", attribution="rightsHolder")
)
media.join(occurrence, on="gbifID").unique().sink_parquet(f"{out}/picture.parquet")
picture = pl.scan_parquet(f"{out}/picture.parquet")
enough = picture.group_by("genus", "species").len().filter(pl.col("len") >= 5).select("genus", "species")
enough = pl.concat([enough, enough.with_columns(species=pl.lit(""))]).unique()
samples = picture.join(enough, on=["genus", "species"], how="semi").sort("genus", "species", "gbifID")
side = pl.when(pl.col("gbifID").str.slice(-1) < "2").then(pl.lit("validation")).otherwise(pl.lit("training"))
samples.with_columns(split=side).sink_parquet(f"{out}/samples.parquet", compression="zstd")
print(pl.scan_parquet(f"{out}/samples.parquet").select(pl.len()).collect().item())
