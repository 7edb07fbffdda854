"""Specificity control in numpy: probabilities are summed to all ancestors, level by level, then the argmax is taken.

usage: decide.py FOLDER   (taxonomy.tsv and answers.f32, as tests/bench/decide exports them)
"""
import pathlib
import statistics
import sys
import time

import numpy

folder = pathlib.Path(sys.argv[1])
lines = (folder / "taxonomy.tsv").read_text().splitlines()
header = lines[0].split("\t")
rows = [dict(zip(header, line.split("\t"))) for line in lines[1:]]
position = {row["id"]: number + 1 for number, row in enumerate(rows)}
parent = numpy.array([0] + [position.get(row["parent"], 0) for row in rows])
depth = numpy.zeros(len(parent), dtype=numpy.int64)
for node in range(1, len(parent)):
    depth[node] = depth[parent[node]] + 1
leaves = numpy.array([number + 1 for number, row in enumerate(rows) if row.get("output", "") != ""])
levels = [numpy.flatnonzero(depth == level) for level in range(depth.max(), 0, -1)]
answers = numpy.fromfile(folder / "answers.f32", dtype="<f4").reshape(-1, len(leaves))


def decide(probabilities, threshold):
    mass = numpy.zeros(len(parent))
    mass[leaves] = probabilities
    for level in levels:
        mass += numpy.bincount(parent[level], weights=mass[level], minlength=len(mass))
    return numpy.where(mass >= threshold, depth + mass, -1.0).argmax()


decide(answers[0], 0.9)
times = []
for answer in answers:
    begun = time.perf_counter()
    decide(answer, 0.9)
    times.append(time.perf_counter() - begun)
print(f"numpy {numpy.__version__}: median {statistics.median(times) * 1e6:.0f} microseconds a decision, {len(parent)} taxa")
