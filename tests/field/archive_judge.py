"""Reads a Darwin Core Archive with python-dwca-reader and checks it against the rules GBIF documents for occurrences."""
import datetime
import sys

from dwca.read import DwCAReader

DWC = "http://rs.tdwg.org/dwc/terms/"
LICENCES = ("publicdomain/zero/1.0", "licenses/by/4.0", "licenses/by-nc/4.0")
RANKS = {"kingdom", "phylum", "class", "order", "family", "genus", "species"}

with DwCAReader(sys.argv[1]) as archive:
    assert archive.descriptor.core.type == DWC + "Occurrence", archive.descriptor.core.type
    assert archive.metadata is not None and archive.metadata.find("dataset/title").text
    assert archive.metadata.find("dataset/intellectualRights/para/ulink") is not None
    ids, rows = set(), 0
    for row in archive:
        term = lambda name: row.data[DWC + name]
        rows += 1
        ids.add(term("occurrenceID"))
        assert term("basisOfRecord") == "MachineObservation"
        assert term("occurrenceStatus") == "present"
        assert term("scientificName") and term("taxonRank") in RANKS and term("kingdom")
        assert -90 <= float(term("decimalLatitude")) <= 90 and -180 <= float(term("decimalLongitude")) <= 180
        assert (float(term("decimalLatitude")), float(term("decimalLongitude"))) != (0, 0)
        assert term("geodeticDatum") == "EPSG:4326"
        assert float(term("coordinateUncertaintyInMeters")) > 0
        for part in term("eventDate").split("/"):
            datetime.datetime.fromisoformat(part.replace("Z", "+00:00"))
        assert term("identificationRemarks") and term("identifiedBy")
        assert any(url in row.data["http://purl.org/dc/terms/license"] for url in LICENCES)
    assert rows and len(ids) == rows, (rows, len(ids))
    print(f"dwca: {rows} occurrences, every one with its own id, kept to the rules")
