"""The rules of fieldmark's preparation as SQL that DuckDB, DataFusion and Ballista take as it stands.

Names are cleaned with expressions where fieldmark parses them; the tree is not mended (ranks that a row lacks stay blank); of
an identifier that comes twice only a row that is the same is dropped."""

# Pictures of what can be named, each once.
PICTURE = """
SELECT DISTINCT o.genus, o.species, o.id AS observation, o.observer,
  m.identifier AS image, m.license AS licence, m."rightsHolder" AS attribution
FROM {media} m JOIN (
  SELECT DISTINCT "gbifID" AS id, genus, coalesce(species, '') AS species, "recordedBy" AS observer
  FROM {occurrence}
  WHERE "occurrenceStatus" <> 'ABSENT' AND kingdom NOT LIKE 'incertae%' AND "scientificName" NOT LIKE '%×%'
) o ON m."gbifID" = o.id
WHERE m.type = 'StillImage' AND m.format = 'image/jpeg' AND m.identifier LIKE 'http%'
"""

# Species with five pictures; genera with five of their own or with such a species.
ENOUGH = "SELECT genus, species FROM picture GROUP BY genus, species HAVING count(*) >= 5"

SAMPLES = """
SELECT p.image, p.genus, p.species, p.observation, p.observer, p.licence, p.attribution,
  CASE WHEN right(p.observation, 1) < '2' THEN 'validation' ELSE 'training' END AS split
FROM picture p JOIN (
  SELECT genus, species FROM enough UNION SELECT genus, '' AS species FROM enough
) e ON p.genus = e.genus AND p.species = e.species
ORDER BY p.genus, p.species, p.observation
"""


def header(table):
    """Names of a table's columns."""
    with open(table, encoding="utf-8") as lines:
        return lines.readline().rstrip("\n").split("\t")
