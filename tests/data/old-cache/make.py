#!/usr/bin/env python3
"""Writes `cache/`: the cache of `study.xpipe` as the xpipe of commit 62eac70 (cache format 1, manifests of layout 2)
left it. `tests/it/upgrade.rs` reads it. Do not make it again with a newer xpipe: it is there because it is old.

    git checkout 62eac70 && cargo build && python3 make.py target/debug/xpipe
"""

import pathlib
import shutil
import subprocess
import sys

here = pathlib.Path(__file__).parent
cache = here / "cache"
shutil.rmtree(cache, ignore_errors=True)
# Manifests record where the study was.
work = pathlib.Path("/tmp/old-cache")
shutil.rmtree(work, ignore_errors=True)
shutil.copytree(here.parent / "tiny", work / "tiny")
(work / "study").mkdir()
shutil.copy(here / "study.xpipe", work / "study")
command = [pathlib.Path(sys.argv[1]).absolute(), "run", "study/study.xpipe", "--cache", cache.absolute(), "--threads", "1"]
subprocess.run(command, check=True, cwd=work)
# What no reader needs: views are built from objects; logs, locks and digests are of the machine.
for name in ["trees", "tmp", "runs", "locks", "scratch", "studies"]:
    shutil.rmtree(cache / "v1" / name)
for name in ["memo.digests", "rates.json"]:
    (cache / "v1" / name).unlink(missing_ok=True)
