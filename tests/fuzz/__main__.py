"""Runs one target under Atheris: C{python -m tests.fuzz TARGET FOLDER [libFuzzer options]}.

The folder keeps the inputs that were of interest, and those that broke a promise.
"""

from __future__ import annotations

import sys
from hashlib import sha1
from importlib import import_module
from pathlib import Path

import atheris

from tests.fuzz import TARGETS


def main() -> None:
    """Run it."""
    name, folder = sys.argv[1], Path(sys.argv[2])
    if name not in TARGETS:
        sys.exit(f"fuzz: there is no target {name}; there are: {' '.join(TARGETS)}")
    with atheris.instrument_imports(include=["umbcmail"]):
        target = import_module(f"tests.fuzz.{name}")
    corpus = folder / name
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in target.SEEDS:
        (corpus / sha1(seed).hexdigest()).write_bytes(seed)
    options = ["-max_len=4096", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1", "-verbosity=0"]
    prefix = f"-artifact_prefix={folder}/{name}-"
    atheris.Setup([sys.argv[0], *options, prefix, *sys.argv[3:], str(corpus)], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
