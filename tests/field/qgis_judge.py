"""Opens a survey's exports as QGIS does, without a window: every layer valid, placed, with so many features.

qgis_judge.py FOLDER      (Debian's python3, with python3-qgis)
"""
import json
import os
import pathlib
import sys

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
from qgis.core import Qgis, QgsApplication, QgsVectorLayer, QgsWkbTypes

folder = pathlib.Path(sys.argv[1]).resolve()
survey, log = (json.loads((folder / name).read_text())["features"] for name in ["survey.geojson", "flight.geojson"])
count = len(survey)
application = QgsApplication([], False)
application.initQgis()
# Every column that a map of a survey is made with.
wanted = {"name", "probability", "accuracy_m"}


def opened(file, features, provider="ogr", source=None):
    layer = QgsVectorLayer(source or str(folder / file), file, provider)
    assert layer.isValid(), f"{file}: QGIS does not open it"
    assert layer.crs().authid() == "EPSG:4326", (file, layer.crs().authid())
    assert layer.featureCount() == features, (file, layer.featureCount(), features)
    shapes = [feature.geometry() for feature in layer.getFeatures()]
    assert len(shapes) == features and all(shape.isGeosValid() for shape in shapes), file
    kind = QgsWkbTypes.displayString(layer.wkbType())
    print(f"QGIS {Qgis.QGIS_VERSION}: {file}: {features} features, {kind}, {layer.extent().toString(5)}")
    return layer


def survey_and_flight():
    """No layer may outlive the application."""
    for file in ["survey.geojson", "survey.gpkg"]:
        layer = opened(file, count)
        missing = wanted - {field.name() for field in layer.fields()}
        assert not missing, (file, missing)
        middle = layer.extent().center()
        assert abs(middle.y() - 47.3) < 0.01 and abs(middle.x() - 8.5) < 0.01, (file, middle)
    # As "add delimited text layer" reads it.
    text = f"file://{folder}/survey.csv?delimiter=,&xField=longitude&yField=latitude&crs=EPSG:4326"
    opened("survey.csv", count, "delimitedtext", text)
    # A file with lines and areas is a layer of each.
    for kind in ["LineString", "MultiPolygon"]:
        features = sum(feature["geometry"]["type"] == kind for feature in log)
        opened("flight.geojson", features, source=f"{folder}/flight.geojson|geometrytype={kind}")


survey_and_flight()
application.exitQgis()
