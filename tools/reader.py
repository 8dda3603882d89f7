#!/usr/bin/env python3
"""Reads a repository without the program, from format-spec/ alone.

reader.py REPOSITORY (--key-file FILE | --password-file FILE) snapshots | restore SNAPSHOT TARGET | check | dump-tree SNAPSHOT

Exit codes: 0 done, 5 something stored is damaged or not authentic, 10 no repository, 12 wrong key, 1 anything else.
Needs Python 3.11 and the packages of requirements.txt. Names that are not UTF-8 appear as members ending in `_hex`.
"""

import sys

from sbfreader.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
