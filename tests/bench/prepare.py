"""fieldmark's preparation beside a plain DuckDB script with the same rules, on one archive: time, peak memory, counts."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

# Rows that are none are skipped by the reader; names are cleaned with expressions where fieldmark parses them; the tree
# is not mended (ranks that a row lacks stay blank).
DUCKDB = """
import duckdb, sys
folder, out = sys.argv[1:]
db = duckdb.connect()
db.execute("SET enable_progress_bar=false; SET max_temp_directory_size='16GB'")
db.execute("SET memory_limit='1800MB'; SET threads=2; SET preserve_insertion_order=false; SET temp_directory='%s'" % (out + "/spill"))
csv = "delim='\\t', quote='', escape='', header=true, all_varchar=true, ignore_errors=true, null_padding=false"
db.execute(f'''
CREATE TABLE occurrence AS
SELECT "gbifID" AS id, min(kingdom) AS kingdom, min(genus) AS genus, min(coalesce(species, '')) AS species, min("recordedBy") AS observer
FROM read_csv('{folder}/occurrence.txt', {csv})
WHERE "occurrenceStatus" <> 'ABSENT' AND kingdom NOT LIKE 'incertae%' AND "scientificName" NOT LIKE '%×%'
GROUP BY "gbifID"''')
db.execute(f'''
CREATE TABLE picture AS
SELECT o.genus, o.species, o.id AS observation, o.observer, m.identifier AS image, min(m.license) AS licence, min(m."rightsHolder") AS attribution
FROM read_csv('{folder}/multimedia.txt', {csv}) m JOIN occurrence o ON m."gbifID" = o.id
WHERE m.type = 'StillImage' AND m.format = 'image/jpeg' AND m.identifier LIKE 'http%'
GROUP BY ALL''')
db.execute("CREATE TABLE enough AS SELECT genus, species FROM picture GROUP BY ALL HAVING count(*) >= 5")
db.execute(f'''
COPY (SELECT image, genus, species, observation, observer, licence, attribution,
  CASE WHEN hash(observation) % 10 < 2 THEN 'validation' ELSE 'training' END AS split
  FROM picture p WHERE EXISTS (SELECT 1 FROM enough e WHERE e.genus = p.genus AND (e.species = p.species OR p.species = ''))
  ORDER BY genus, species, observation)
TO '{out}/samples.parquet' (FORMAT parquet, COMPRESSION zstd)''')
print(db.execute(f"SELECT count(*) FROM '{out}/samples.parquet'").fetchone()[0])
"""


def run(command):
    """Seconds, peak memory in MiB, seconds of processor, standard output."""
    before = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[0]} failed")
    return time.monotonic() - before, usage.ru_maxrss / 1024, usage.ru_utime + usage.ru_stime, output


def main():
    trainer, folder = sys.argv[1], Path(sys.argv[2])
    archive = folder / "archive"
    expected = json.loads((archive / "expected.json").read_text())
    size = sum((archive / name).stat().st_size for name in ("occurrence.txt", "multimedia.txt"))
    print(f"{expected['occurrences']['rows']} occurrences, {expected['media']['rows']} pictures, {size / 1e9:.1f} GB")

    seconds, memory, cpu, output = run([trainer, "prepare", str(archive), "--out", str(folder / "set"), "--json"])
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
    (folder / "duckdb").mkdir(exist_ok=True)
    script = [sys.executable, "-c", DUCKDB, str(archive), str(folder / "duckdb")]
    other, other_memory, other_cpu, output = run(script)
    print(f"DuckDB: {other:.1f} s, {other_cpu:.1f} s of processor, peak {other_memory:.0f} MiB, {output.strip()} pictures kept")
    print(f"time {seconds / other:.2f}, processor {cpu / other_cpu:.2f}, memory {memory / other_memory:.2f} of DuckDB's")
    sys.exit(bool(wrong) or memory >= 2048)


main()
