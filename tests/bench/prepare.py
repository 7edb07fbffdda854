"""fieldmark's preparation beside a plain DuckDB script with the same rules, on one archive: time, peak memory, counts."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

# Rows that are none are skipped by the reader; names are cleaned with expressions where fieldmark parses them; the tree
# is not mended (ranks that a row lacks stay blank); of an identifier that comes twice only a row that is the same is dropped.
DUCKDB = """
import duckdb, os, shutil, sys
folder, out = sys.argv[1:]
db = duckdb.connect(out + '/tables.db')
memory = os.environ.get('DUCKDB_MEMORY', '1800MB')
# Nobody else's disk is filled: half of what is free.
spill = '%d MiB' % (shutil.disk_usage(out).free >> 21)
db.execute("SET enable_progress_bar=false; SET threads=2; SET preserve_insertion_order=false")
db.execute(f"SET memory_limit='{memory}'; SET temp_directory='{out}/spill'; SET max_temp_directory_size='{spill}'")
csv = "delim='\\t', quote='', escape='', header=true, all_varchar=true, ignore_errors=true, null_padding=false"
db.execute(f'''
CREATE TABLE occurrence AS
SELECT DISTINCT "gbifID" AS id, genus, coalesce(species, '') AS species, "recordedBy" AS observer
FROM read_csv('{folder}/occurrence.txt', {csv})
WHERE "occurrenceStatus" <> 'ABSENT' AND kingdom NOT LIKE 'incertae%' AND "scientificName" NOT LIKE '%×%'
''')
db.execute(f'''
CREATE TABLE picture AS
SELECT DISTINCT o.genus, o.species, o.id AS observation, o.observer, m.identifier AS image, m.license AS licence, m."rightsHolder" AS attribution
FROM read_csv('{folder}/multimedia.txt', {csv}) m JOIN occurrence o ON m."gbifID" = o.id
WHERE m.type = 'StillImage' AND m.format = 'image/jpeg' AND m.identifier LIKE 'http%'
''')
db.execute("CREATE TABLE enough AS SELECT genus, species FROM picture GROUP BY ALL HAVING count(*) >= 5")
db.execute(f'''
COPY (SELECT image, genus, species, observation, observer, licence, attribution,
  CASE WHEN hash(observation) % 10 < 2 THEN 'validation' ELSE 'training' END AS split
  FROM picture p WHERE EXISTS (SELECT 1 FROM enough e WHERE e.genus = p.genus AND (e.species = p.species OR p.species = ''))
  ORDER BY genus, species, observation)
TO '{out}/samples.parquet' (FORMAT parquet, COMPRESSION zstd)''')
print(db.execute(f"SELECT count(*) FROM '{out}/samples.parquet'").fetchone()[0])
"""

# DataFusion's reader ends at the first row with a stray separator: it gets copies of the tables without rows that are none.
DATAFUSION = """
import sys
from datafusion import RuntimeEnvBuilder, SessionConfig, SessionContext
folder, out = sys.argv[1:]
runtime = RuntimeEnvBuilder().with_temp_file_path(out).with_fair_spill_pool(1800 << 20)
db = SessionContext(SessionConfig().with_target_partitions(2), runtime)
for name in ('occurrence', 'multimedia'):
    columns = ', '.join('"%s" VARCHAR' % cell for cell in open(f'{folder}/{name}.txt').readline().rstrip().split('\\t'))
    db.sql(f"CREATE EXTERNAL TABLE {name}_file ({columns}) STORED AS CSV LOCATION '{folder}/{name}.txt' "
           "OPTIONS ('format.has_header' 'true', 'format.delimiter' '\\t', 'format.quote' '\\x01')").collect()
db.sql(f'''
COPY (
WITH occurrence AS (
  SELECT DISTINCT "gbifID" AS id, genus, coalesce(species, '') AS species, "recordedBy" AS observer
  FROM occurrence_file
  WHERE "occurrenceStatus" <> 'ABSENT' AND kingdom NOT LIKE 'incertae%' AND "scientificName" NOT LIKE '%×%'),
picture AS (
  SELECT DISTINCT o.genus, o.species, o.id AS observation, o.observer, m.identifier AS image, m.license AS licence, m."rightsHolder" AS attribution
  FROM multimedia_file m JOIN occurrence o ON m."gbifID" = o.id
  WHERE m.type = 'StillImage' AND m.format = 'image/jpeg' AND m.identifier LIKE 'http%'),
enough AS (SELECT genus, species FROM picture GROUP BY genus, species HAVING count(*) >= 5)
SELECT image, p.genus, p.species, observation, observer, licence, attribution,
  CASE WHEN right(observation, 1) < '2' THEN 'validation' ELSE 'training' END AS split
FROM picture p LEFT SEMI JOIN (SELECT DISTINCT genus, species FROM (
  SELECT genus, species FROM enough UNION ALL SELECT genus, '' FROM enough)) e ON e.genus = p.genus AND e.species = p.species
ORDER BY p.genus, p.species, observation)
TO '{out}/samples.parquet' STORED AS PARQUET OPTIONS ('format.compression' 'zstd(1)')''').collect()
print(db.read_parquet(f'{out}/samples.parquet').count())
"""


def without_what_is_no_row(archive, folder):
    """Copies of the tables with rows only."""
    folder.mkdir(exist_ok=True)
    for name in ("occurrence.txt", "multimedia.txt"):
        with open(archive / name, "rb") as table, open(folder / name, "wb") as copy:
            separators = None
            for line in table:
                separators = separators or line.count(b"\t")
                if line.count(b"\t") == separators and b"\xff" not in line:
                    copy.write(line)


def run(command, longest=None):
    """Seconds, peak memory in MiB, seconds of processor, standard output; nothing if it fails or takes `longest` seconds."""
    before = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(longest, process.kill) if longest else None
    if timer:
        timer.start()
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if timer:
        timer.cancel()
    if status:
        return None
    return time.monotonic() - before, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime, output


def main():
    trainer, folder = sys.argv[1], Path(sys.argv[2])
    archive = folder / "archive"
    expected = json.loads((archive / "expected.json").read_text())
    size = sum((archive / name).stat().st_size for name in ("occurrence.txt", "multimedia.txt"))
    print(f"{expected['occurrences']['rows']} occurrences, {expected['media']['rows']} pictures, {size / 1e9:.1f} GB")

    result = run([trainer, "prepare", str(archive), "--out", str(folder / "set"), "--json"])
    if result is None:
        sys.exit("fieldmark-trainer prepare failed")
    seconds, memory, cpu, output = result
    report = json.loads(output)
    files = {file["file"]: file for file in report["files"]}
    wrong = []
    for name, wanted in (("occurrence.txt", expected["occurrences"]), ("multimedia.txt", expected["media"])):
        found = files[name]
        for reason in sorted(set(found["dropped"]) | set(wanted["dropped"])):
            pair = found["dropped"].get(reason, 0), wanted["dropped"].get(reason, 0)
            print(f"  {name} {reason}: {pair[0]} of {pair[1]} planted")
            if pair[0] != pair[1]:
                wrong.append(reason)
    kept = report["samples"]["training"] + report["samples"]["validation"]
    if (kept, files["multimedia.txt"]["kept"]) != (expected["media"]["kept"],) * 2:
        wrong.append("kept")
    print(f"fieldmark: {seconds:.1f} s, {cpu:.1f} s of processor, peak {memory:.0f} MiB, {kept} pictures kept")
    print("counts exact" if not wrong else f"COUNTS DIFFER: {wrong}")

    shutil.rmtree(folder / "set")
    for name, script, source in ("DuckDB", DUCKDB, archive), ("DataFusion", DATAFUSION, folder / "rows"):
        if importlib.util.find_spec(name.lower()) is None:
            print(f"{name} is not installed: not compared")
            continue
        if source != archive:
            without_what_is_no_row(archive, source)
        out = folder / "other"
        out.mkdir(exist_ok=True)
        result = run([sys.executable, "-c", script, str(source), str(out)], longest=10 * seconds + 60)
        shutil.rmtree(out)
        if result is None:
            print(f"{name} failed, or took more than {10 * seconds + 60:.0f} s")
            continue
        other, other_memory, other_cpu, output = result
        print(f"{name}: {other:.1f} s, {other_cpu:.1f} s of processor, peak {other_memory:.0f} MiB, {output.strip()} pictures kept")
        print(f"  time {seconds / other:.2f}, processor {cpu / other_cpu:.2f}, memory {memory / other_memory:.2f} of {name}'s")
    sys.exit(bool(wrong) or memory >= 2048)


main()
