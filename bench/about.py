# SPDX-License-Identifier: Apache-2.0
# Copyright The Hamgam Authors
"""What the figures of a run were taken on, and how: the same for all runs, and for bench/report."""
import datetime
import json
import os
import pathlib
import platform
import sys
import time

BUSY = 0.3  # load for each core, from which on a machine counts as shared
LOOK = 2  # seconds


def load():
    """How many cores are busy. Not the load average, which still counts what has just been built."""
    def spent():
        fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        return sum(fields), fields[3] + fields[4]  # all of it; idle, and waiting for a disk

    cores = len(os.sched_getaffinity(0))
    try:
        total, idle = spent()
        time.sleep(LOOK)
        total, idle = (after - before for after, before in zip(spent(), (total, idle)))
    except (OSError, ValueError, IndexError):
        return os.getloadavg()[0]
    return cores * (1 - idle / total)


def machine():
    model = platform.processor() or platform.machine()
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    except OSError:
        pass
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "kernel": platform.release(),
            "load": round(load(), 2)}


def is_busy(about):
    return about["load"] > BUSY * about["cores"]


def command():
    """As one would type it, without what only says where to write and where to find programs."""
    out, arguments = [], iter(sys.argv[1:])
    for argument in arguments:
        if argument in ("--json", "--build"):
            next(arguments, None)
        elif not argument.startswith(("--json=", "--build=")):
            out.append(f"'{argument}'" if set(argument) & set(" ^$|*()[]?\\") else argument)
    name = pathlib.Path(sys.argv[0]).name
    return " ".join(["./dev bench", *([] if name == "run" else [f"--{name}"]), *out])


def write(path, kind, about, **more):
    """The results of a run for bench/report; `about` is machine() as it was before the run."""
    document = {"kind": kind, "date": datetime.date.today().isoformat(), "commands": [command()],
                "machine": about | {"load_after": round(load(), 2)}, **more}
    pathlib.Path(path).write_text(json.dumps(document, indent=1) + "\n", "utf-8")
