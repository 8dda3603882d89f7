#!/usr/bin/env python3
"""Writes the bodies of the vectors of one input as the first corpus of its fuzz target: fuzz_seeds.py INPUT FOLDER."""

import hashlib
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Whole objects are also good beginnings for the decoders of their parts.
WHOLE = {"slot-open": "slot", "renewal-open": "identity", "envelope-open": "envelope", "clear-open": "clear", "pack-open": "pack-header"}


def main(word, folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted((ROOT / "format-spec" / "vectors").glob("*/*.vec")):
        head, _, digits = path.read_text().partition("\n\n")
        headers = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
        if WHOLE.get(headers["input"], headers["input"]) == word:
            body = bytes.fromhex(digits.replace("\n", ""))
            (folder / hashlib.sha256(body).hexdigest()[:16]).write_bytes(body)


if __name__ == "__main__":
    main(*sys.argv[1:])
