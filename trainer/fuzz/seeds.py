"""The fixtures of the preparation as what the fuzz targets begin with."""

from pathlib import Path

HERE = Path(__file__).parent
FIXTURES = HERE / "../tests/fixtures/prepare"
# As in fuzz_targets/source.rs.
SOURCES = [
    ["meta.xml", "occurrence.txt", "multimedia.txt"],
    ["observations.csv", "media.csv"],
    ["taxa.csv", "observations.csv", "photos.csv"],
    ["train*.json", "categories.json"],
]
RANKS = ["kingdom", "phylum", "class", "order", "family", "genus", "species"]


def keep(target, name, seed):
    folder = HERE / "corpus" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"seed-{name}").write_bytes(seed)


def first(folder, pattern):
    return next((path.read_bytes() for path in sorted(folder.glob(pattern))), b"")


def main():
    tables = sorted(path for path in FIXTURES.rglob("*") if path.suffix in (".csv", ".txt"))
    for number, table in enumerate(tables):
        keep("rows", number, table.read_bytes())
    for folder in sorted(path for path in FIXTURES.iterdir() if path.is_dir()):
        for number, names in enumerate(SOURCES):
            if first(folder, names[0]) and first(folder, names[1]) or list(folder.glob("train*.json")) and number == 3:
                files = (first(folder, name) for name in names)
                keep("source", f"{folder.name}-{number}", bytes([number]) + b"\x1e".join(files))
    header, *rows = (FIXTURES / "gbif/occurrence.txt").read_text("utf-8", errors="replace").split("\n")
    rows = [dict(zip(header.split("\t"), row.split("\t"))) for row in rows]
    names = ["\n".join([row.get("scientificName", ""), *(row.get(rank, "") for rank in RANKS)]) for row in rows]
    for number, name in enumerate([*names, "\n".join(names)]):
        keep("names", number, name.encode())


main()
