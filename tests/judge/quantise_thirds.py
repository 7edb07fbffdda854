"""Three recipes, each without a third of the individuals of the recipe that is given, and tables to judge them by.

In FOLDER/1 to 3: `recipe.toml` and its table `train.csv`; `judge.csv`, in which photographs that are trained on and those that are
not take turns, so that the one give ranges and the others judge. Prints the folder that the tables' paths start from.
"""

import csv
import pathlib
import random
import sys
import tomllib


def individuals(rows, beginnings):
    """Rows of the same individual, together."""
    found = {}
    for row in rows:
        name = row["file"].rsplit("/", 1)[-1]
        individual = next((start for start in beginnings if name.startswith(start)), row["file"])
        found.setdefault(individual, []).append(row)
    return list(found.values())


def write(path, header, rows):
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(rows)


def main(recipe, out):
    text = recipe.read_text()
    data = tomllib.loads(text)["data"]
    table = recipe.parent / data["table"]
    with table.open(newline="") as file:
        reader = csv.DictReader(file)
        # Rows without a kingdom are not used.
        header, rows = reader.fieldnames, [row for row in reader if row["kingdom"].strip()]
    groups = individuals(rows, data["individuals"])
    random.Random(1).shuffle(groups)
    for third in range(3):
        left_out = [row for group in groups[third::3] for row in group]
        training = [row for row in rows if row not in left_out]
        folder = out / str(third + 1)
        folder.mkdir(parents=True, exist_ok=True)
        write(folder / "train.csv", header, training)
        turns = zip(random.Random(2).sample(training, len(left_out)), left_out)
        write(folder / "judge.csv", header, [row for pair in turns for row in pair])
        (folder / "recipe.toml").write_text(text.replace(f'table = "{data["table"]}"', 'table = "train.csv"'))
    print(data["photos"])


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
