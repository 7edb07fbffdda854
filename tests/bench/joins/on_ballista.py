"""The same plan on a cluster: a scheduler and an executor of Ballista are started on loopback.

python tests/bench/joins/on_ballista.py ARCHIVE OUT: prints how many pictures were kept. ARCHIVE is to have no rows that are none."""

import os
import signal
import socket
import subprocess
import sys
import time

from ballista import BallistaSessionContext
from datafusion import SessionConfig
from plan import ENOUGH, PICTURE, SAMPLES, header

SCHEDULER = "from ballista import BallistaScheduler as S; s = S('127.0.0.1', {port}); s.start(); s.wait_for_termination()"
EXECUTOR = (
    "from ballista import BallistaExecutor as E; "
    "e = E({port}, '127.0.0.1', '127.0.0.1', {scheduler}, 2); e.start(); e.wait_for_termination()"
)


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def start(program, folder, name, port):
    """A process of the cluster, and it listens."""
    with open(f"{folder}/{name}.log", "wb") as log:
        process = subprocess.Popen([sys.executable, "-c", program], cwd=folder, stdout=log, stderr=log, env={**os.environ, "TMPDIR": folder})
    for _ in range(600):
        if process.poll() is not None:
            break
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.1)
    process.kill()
    sys.exit(f"{name} of Ballista does not listen at {port}: " + open(f"{folder}/{name}.log").read()[-2000:])


def plan(context, folder, out):
    """All of the plan, step by step; what a step wrote is a table of the next."""

    def write(query, name):
        begin = time.monotonic()
        context.sql(query).write_parquet(f"{out}/{name}.parquet", "zstd", 1)
        context.register_parquet(name, f"{out}/{name}.parquet")
        print(f"{name}: {time.monotonic() - begin:.1f} s", file=sys.stderr)

    for name in ("occurrence", "multimedia"):
        columns = ", ".join(f'"{column}" VARCHAR' for column in header(f"{folder}/{name}.txt"))
        options = "'format.has_header' 'true', 'format.delimiter' '\t', 'format.quote' '\x01'"
        context.sql(
            f"CREATE EXTERNAL TABLE {name}_rows ({columns}) STORED AS CSV LOCATION '{folder}/{name}.txt' OPTIONS ({options})"
        )
    write(PICTURE.format(occurrence="occurrence_rows", media="multimedia_rows"), "picture")
    write(ENOUGH, "enough")
    write(SAMPLES, "samples")
    return context.sql("SELECT count(*) FROM samples").collect()[0].column(0)[0].as_py()


def main():
    folder, out = (os.path.abspath(path) for path in sys.argv[1:])
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended from outside"))
    started = []
    try:
        scheduler, executor = free_port(), free_port()
        started.append(start(SCHEDULER.format(port=scheduler), out, "scheduler", scheduler))
        started.append(start(EXECUTOR.format(port=executor, scheduler=scheduler), out, "executor", executor))
        begin = time.monotonic()
        # Views of text are written with all of what they look into, between any two steps.
        plain = SessionConfig().set("datafusion.execution.parquet.schema_force_view_types", "false")
        plain = plain.set("datafusion.sql_parser.map_string_types_to_utf8view", "false")
        kept = plan(BallistaSessionContext(f"df://127.0.0.1:{scheduler}", plain), folder, out)
        print(f"{time.monotonic() - begin:.1f} s on Ballista", file=sys.stderr)
        print(kept)
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGKILL)
            process.wait()


main()
