"""Judges a Darwin Core Archive with the validator of the Atlas of Living Australia, GBIF's Australian node: every
occurrence has a key of its own and every column a header. And every term is one that Darwin Core or Dublin Core has.
"""
import logging
import sys
import xml.etree.ElementTree
import zipfile

import pandas
from dwcahandler import DwcaHandler, MetaElementTypes
from dwcahandler.dwca.terms import Terms

logging.disable(logging.INFO)
path = sys.argv[1]
errors = pandas.DataFrame()
keys = {MetaElementTypes.OCCURRENCE: ["occurrenceID"]}
assert DwcaHandler.validate_dwca(dwca_file=path, content_keys=keys, error_df=errors), errors
assert errors.empty, errors
with zipfile.ZipFile(path) as archive:
    fields = xml.etree.ElementTree.fromstring(archive.read("meta.xml")).iter("{http://rs.tdwg.org/dwc/text/}field")
    used = {field.get("term") for field in fields}
known = set(Terms().terms_df["uri"])
assert used and not used - known, used - known
print(f"dwcahandler: valid, {len(used)} terms, all of them known")
