"""The command line of the reader."""

import argparse
import json
import os
import sys

from .check import Check
from .errors import AuthError, FormatError, LimitError, Missing, NoKey, NoRepository, ReadError, Refused, WrongKey
from .repository import Repository
from .restore import Dump, Restore, Rewrap, print_warnings

EXIT_OTHER = 1
EXIT_INTEGRITY = 5
EXIT_NO_REPOSITORY = 10
EXIT_WRONG_KEY = 12


def parse_arguments(arguments):
    parser = argparse.ArgumentParser(prog="reader.py", description="Reads a repository of format 1 in a directory.")
    parser.add_argument("repository")
    secret = parser.add_mutually_exclusive_group(required=True)
    secret.add_argument("--key-file")
    secret.add_argument("--password-file", help="the passphrase; one line feed at its end is not part of it")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("snapshots", help="one JSON line a snapshot")
    restore = commands.add_parser("restore", help="write a snapshot into a new or empty directory")
    restore.add_argument("snapshot", help="an id, the start of one, or `latest`")
    restore.add_argument("target")
    commands.add_parser("check", help="read and verify everything")
    dump = commands.add_parser("dump-tree", help="one JSON line an entry")
    dump.add_argument("snapshot", help="an id, the start of one, or `latest`")
    again = commands.add_parser("rewrap", help="write a file of gzip that is stored as plain bytes and a recipe")
    again.add_argument("snapshot", help="an id, the start of one, or `latest`")
    again.add_argument("name", help="of the file when it was backed up, as app.sql.gz")
    again.add_argument("output", help="a new file")
    return parser.parse_args(arguments)


def open_repository(options):
    def content(path):
        with open(path, "rb") as file:
            return file.read()
    if options.key_file:
        return Repository(options.repository, key_file=content(options.key_file))
    return Repository(options.repository, passphrase=content(options.password_file).removesuffix(b"\n"))


def run(options):
    repository = open_repository(options)
    try:
        repository.load()
        command(repository, options)
    except Refused:
        # What is damaged may be what hides the snapshot that was asked for.
        if not repository.findings:
            raise
        return EXIT_INTEGRITY
    finally:
        for note in repository.notes:
            print(f"note: {note}", file=sys.stderr)
        for finding in repository.findings:
            print(f"finding: {finding}", file=sys.stderr)
    if options.command in ("check", "snapshots") and repository.findings:
        return EXIT_INTEGRITY
    return 0


def command(repository, options):
    if options.command == "snapshots":
        for snapshot in sorted(repository.snapshots.values()):
            try:
                print(json.dumps(repository.manifest(snapshot)["predicate"]))
            except (FormatError, AuthError, Missing) as error:
                repository.finding(f"snapshot {snapshot.id.hex()}", error)
        return
    if options.command == "check":
        Check(repository).run()
        print(f"{len(repository.packs)} packs, {len(repository.segments)} segments, {len(repository.snapshots)} snapshots, "
              f"{len(repository.findings)} findings")
        return
    manifest = repository.manifest(repository.find_snapshot(options.snapshot))
    if options.command == "dump-tree":
        Dump(repository).run(manifest)
        return
    if options.command == "rewrap":
        made = Rewrap(repository).file(manifest, os.fsencode(options.name))
        with open(options.output, "xb") as file:
            file.write(made)
        return
    restore = Restore(repository, options.target)
    restore.run(manifest)
    print_warnings(restore.warnings)


def main(arguments):
    sys.setrecursionlimit(50000)
    options = parse_arguments(arguments)
    try:
        return run(options)
    except NoRepository as error:
        code, failure = EXIT_NO_REPOSITORY, error
    except WrongKey as error:
        code, failure = EXIT_WRONG_KEY, error
    except (Refused, NoKey, LimitError, OSError) as error:
        code, failure = EXIT_OTHER, error
    except ReadError as error:
        code, failure = EXIT_INTEGRITY, error
    print(f"error: {failure}", file=sys.stderr)
    return code
