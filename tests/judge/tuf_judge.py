"""python-tuf, the reference implementation, reads our release repository, and ours reads one it made; over HTTP.

tuf_judge.py FIELDMARK REPOSITORY: exit code 0 when both agree.
"""

import functools
import hashlib
import http.server
import json
import pathlib
import subprocess
import sys
import tempfile
import threading
from datetime import datetime, timedelta, timezone

from securesystemslib.signer import CryptoSigner
from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.api.metadata import (
    Metadata,
    MetaFile,
    Root,
    Snapshot,
    TargetFile,
    Targets,
    Timestamp,
)
from tuf.api.serialization.json import JSONSerializer
from tuf.ngclient import Updater, UpdaterConfig


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def serve(folder):
    handler = functools.partial(Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}"


def read_with_python(url, root, cache):
    """Every target of the repository at `url`, downloaded and checked by python-tuf."""
    (cache / "metadata").mkdir(parents=True)
    (cache / "targets").mkdir()
    updater = Updater(
        str(cache / "metadata"),
        f"{url}/metadata/",
        str(cache / "targets"),
        f"{url}/targets/",
        bootstrap=root,
        config=UpdaterConfig(prefix_targets_with_hash=True),
    )
    updater.refresh()
    names = json.loads((cache / "metadata" / "targets.json").read_text())["signed"]["targets"]
    for name in names:
        path = updater.download_target(updater.get_targetinfo(name))
        print(f"ok    python-tuf took {name}: {pathlib.Path(path).stat().st_size} bytes")
    return list(names)


def make_with_python(folder):
    """A repository of python-tuf's, whose root was rotated once."""
    expires = datetime.now(timezone.utc).replace(microsecond=0) + timedelta(days=30)
    signers = {role: CryptoSigner.generate_ed25519() for role in ("root", "timestamp", "snapshot", "targets")}
    second = CryptoSigner.generate_ecdsa()
    root = Root(expires=expires, consistent_snapshot=True)
    for role, signer in signers.items():
        root.add_key(signer.public_key, role)
    content = bytes(range(256)) * 1000
    targets = Targets(expires=expires)
    targets.targets["toy-1.0.0.fieldmark"] = TargetFile.from_data("toy-1.0.0.fieldmark", content, ["sha256"])
    snapshot = Snapshot(expires=expires, meta={"targets.json": MetaFile(1)})
    timestamp = Timestamp(expires=expires, snapshot_meta=MetaFile(1))

    def write(role, name, *keys):
        signed = Metadata(role)
        for key in keys:
            signed.sign(key, append=True)
        path = folder / "metadata" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        signed.to_file(str(path), JSONSerializer(compact=False))

    write(root, "1.root.json", signers["root"])
    root.version = 2
    root.add_key(second.public_key, "root")
    root.roles["root"].threshold = 2
    write(root, "2.root.json", signers["root"], second)
    write(targets, "1.targets.json", signers["targets"])
    write(snapshot, "1.snapshot.json", signers["snapshot"])
    write(timestamp, "timestamp.json", signers["timestamp"])
    (folder / "targets").mkdir()
    digest = hashlib.sha256(content).hexdigest()
    (folder / "targets" / f"{digest}.toy-1.0.0.fieldmark").write_bytes(content)


def main():
    fieldmark, repository = sys.argv[1], pathlib.Path(sys.argv[2])
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        root = (repository / "metadata" / "1.root.json").read_bytes()
        names = read_with_python(serve(repository), root, scratch / "cache")
        assert names, "there was nothing to read"

        # What is altered, python-tuf refuses as our nodes do: the judge can tell.
        altered = scratch / "altered"
        subprocess.run(["cp", "-r", str(repository), str(altered)], check=True)
        stamp = altered / "metadata" / "timestamp.json"
        metadata = json.loads(stamp.read_text())
        metadata["signed"]["version"] += 1
        stamp.write_text(json.dumps(metadata))
        try:
            read_with_python(serve(altered), root, scratch / "cache of altered")
        except (RepositoryError, DownloadError) as error:
            print(f"ok    python-tuf refuses an altered timestamp: {error}")
        else:
            sys.exit("python-tuf took an altered timestamp")

        theirs = scratch / "theirs"
        make_with_python(theirs)
        verify = [fieldmark, "release", "verify", serve(theirs), "--root", str(theirs / "metadata" / "1.root.json")]
        subprocess.run(verify, check=True)
        target = next((theirs / "targets").iterdir())
        target.write_bytes(target.read_bytes()[:-1] + b"x")
        assert subprocess.run(verify).returncode == 1, "an altered target was taken"


main()
