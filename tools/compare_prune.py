#!/usr/bin/env python3
"""Compare how sbf-repo, restic, rustic and borg free space: a month of daily snapshots, then a week of them.

    tools/compare.py setup && tools/compare.py data    install the other tools, make the tree
    tools/compare_prune.py                             measure and print a Markdown report

A copy of the tree is backed up for 30 days; each day about 2 % of its files are
rewritten, appended to, removed or added, the same in every run.  Then all but
the newest 7 daily snapshots are forgotten and what they alone needed is
deleted, the repository is checked, and the newest snapshot is restored and
compared.  ``--quick`` takes 300 MB of the tree.  What is measured is told by
``tools/compare.py``.
"""

from __future__ import annotations

import argparse
import datetime
import os
import pathlib
import random
import shutil
import string
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import benchdata  # noqa: E402
import compare  # noqa: E402
from compare import Command, Failed, Sample, log  # noqa: E402

DAYS = 30
KEEP_DAYS = 7
FIRST_DAY = datetime.datetime(2026, 6, 1, 2, 0, 0)
QUICK_BYTES = 300_000_000
CHANGED_SHARE = 0.02
LARGE_BYTES = 1 << 20
PATCH_BYTES = 64 << 10
# Random letters out of sixteen: about half of a byte is information, as in much real data.
LETTERS = bytes(string.ascii_lowercase[:16] * 16, "ascii")


# --- the tools ---------------------------------------------------------------


class Sbf(compare.Sbf):
    """The tool of this repository."""

    note = "`forget --prune`; backups may run meanwhile"

    def day(self, home, tree, when):
        """The command that backs `tree` up as of a day."""
        return self.command(home, "snapshot", "--source", "tree", "--time", f"{when:%Y-%m-%dT%H:%M:%SZ}", tree)

    def forget(self, home):
        """The commands that keep a week and delete what nothing needs."""
        return [self.command(home, "forget", "--keep-daily", KEEP_DAYS, "--accept-policy", "--prune")]

    def quick_check(self, home):
        """The command that verifies the structure."""
        return self.command(home, "check")


class Restic(compare.Restic):
    """restic, repository format 2."""

    note = "`forget --prune`; the repository is locked meanwhile"

    def day(self, home, tree, when):
        return self.command(home, "backup", "--time", f"{when:%Y-%m-%d %H:%M:%S}", tree.name, cwd=tree.parent)

    def forget(self, home):
        return [self.command(home, "forget", "--keep-daily", KEEP_DAYS, "--prune")]

    def quick_check(self, home):
        return self.command(home, "check")


class Rustic(compare.Rustic):
    """rustic, on a repository of restic's format."""

    note = "`forget`, then `prune --instant-delete --max-repack unlimited`, which forbids backups meanwhile"

    def day(self, home, tree, when):
        return self.command(home, "backup", "--time", f"{when:%Y-%m-%d %H:%M:%S}", tree.name, cwd=tree.parent)

    def forget(self, home):
        prune = ("prune", "--instant-delete", "--max-repack", "unlimited")
        return [self.command(home, "forget", "--keep-daily", KEEP_DAYS), self.command(home, *prune)]

    def quick_check(self, home):
        return self.command(home, "check")


class Borg(compare.Borg):
    """borg 1 with its default compression."""

    note = "`prune`, then `compact --threshold 5`; lz4, its default"

    def day(self, home, tree, when):
        args = ("create", "--compression", self.compression, "--timestamp", f"{when:%Y-%m-%dT%H:%M:%S}")
        return self.command(home, *args, f"::{when:%Y-%m-%d}", tree.name, cwd=tree.parent)

    def forget(self, home):
        prune = ("prune", "--keep-daily", KEEP_DAYS)
        return [self.command(home, *prune), self.command(home, "compact", "--threshold", 5)]

    def quick_check(self, home):
        return self.command(home, "check")

    def restore(self, home, tree, label, target):
        newest = f"::{FIRST_DAY + datetime.timedelta(days=DAYS - 1):%Y-%m-%d}"
        return [self.command(home, "extract", newest, cwd=target)]


TOOLS = [Sbf, Restic, Rustic, Borg]


# --- the tree ----------------------------------------------------------------


class Tree:
    """A tree that changes from day to day, the same in every run."""

    def __init__(self, top: pathlib.Path):
        self.top = top
        self.files = sorted(
            os.path.relpath(os.path.join(folder, name), top)
            for folder, _, names in os.walk(top)
            for name in names if not os.path.islink(os.path.join(folder, name))
        )
        self.folders = sorted({os.path.dirname(name) for name in self.files})

    def change(self, day: int) -> dict:
        """Change about 2 % of the files; how many of each kind."""
        numbers = random.Random(day)
        counts = {"rewritten": 0, "appended to": 0, "removed": 0, "added": 0}
        chosen = numbers.sample(self.files, int(len(self.files) * CHANGED_SHARE))
        removed = set()
        for name in chosen:
            kind = numbers.choices(list(counts), weights=(50, 20, 15, 15))[0]
            counts[kind] += 1
            path = self.top / name
            if kind == "rewritten":
                self.rewrite(path, numbers)
            elif kind == "appended to":
                with open(path, "ab") as file:
                    file.write(self.content(numbers, numbers.randrange(1, 4096)))
            elif kind == "removed":
                path.unlink()
                removed.add(name)
            else:
                new = os.path.join(numbers.choice(self.folders), f"added-{day:02}-{counts[kind]:05}")
                (self.top / new).write_bytes(self.content(numbers, path.stat().st_size % LARGE_BYTES))
                self.files.append(new)
        self.files = sorted(set(self.files) - removed)
        return counts

    @staticmethod
    def content(numbers: random.Random, length: int) -> bytes:
        """New bytes that compress to about half."""
        return numbers.randbytes(length).translate(LETTERS)

    def rewrite(self, path: pathlib.Path, numbers: random.Random) -> None:
        """Replace a small file; change a place in a large one."""
        length = path.stat().st_size
        # A copied file may be linked or read-only; the tree is ours, and the program runs as its owner.
        os.chmod(path, 0o644)
        if length <= LARGE_BYTES:
            path.write_bytes(self.content(numbers, max(1, length + numbers.randrange(-64, 64))))
            return
        with open(path, "r+b") as file:
            file.seek(numbers.randrange(length - PATCH_BYTES))
            file.write(self.content(numbers, PATCH_BYTES))


# --- the run -----------------------------------------------------------------


class Month:
    """All measurements of one run."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        self.scratch = options.cache / "scratch-prune" / f"run-{stamp}-{os.getpid()}"
        self.scratch.mkdir(parents=True)
        self.runner = compare.Runner(self.scratch, options.timeout)
        self.samples: dict = {}
        self.sizes: dict = {}
        self.results: dict = {}
        self.failures: dict = {}
        self.homes: dict = {}
        self.changes: list = []
        self.tree = self.make_tree()
        self.described = benchdata.describe_tree(self.tree.top)
        self.tools, self.missing = self.find_tools()

    def make_tree(self) -> Tree:
        """A copy of the tree of the comparison, or of a part of it."""
        source = self.options.cache / "data" / "full" / "tree"
        if not source.is_dir():
            sys.exit(f"there is no {source}: run `tools/compare.py data` first")
        target = self.scratch / "tree"
        if self.options.quick:
            target.mkdir()
            budget = QUICK_BYTES
            for part in sorted(source.iterdir()):
                if budget > 0 and part.is_dir():
                    budget -= benchdata.copy_capped(part, target / part.name, budget // 2)
        else:
            subprocess.run(["cp", "-a", source, target], check=True)
        return Tree(target)

    def find_tools(self) -> tuple:
        """The tools that can be run, and why the others cannot."""
        found = compare.Comparison.find_tools(self)
        kinds = {kind.name: kind for kind in TOOLS}
        tools = [kinds[tool.name](tool.program) for tool in found[0] if tool.name in kinds]
        return tools, {name: reason for name, reason in found[1].items() if name in kinds}

    def measure(self, tool, phase: str, commands: list, accept: tuple | None = None) -> bool:
        """Run commands one after the other; their sum is one sample."""
        os.sync()
        parts = []
        for command in commands:
            try:
                parts.append(self.runner.run([command], sync=self.scratch, accept=accept or tool.accept))
            except (Failed, OSError) as error:
                self.failures.setdefault(tool.name, {})[phase] = str(error)
                log(f"  {tool.name:10} {phase:10} FAILED: {error}")
                return False
        sample = Sample(
            sum(part.wall for part in parts), sum(part.cpu for part in parts),
            max(part.rss for part in parts), max(part.others for part in parts),
        )
        self.samples.setdefault(tool.name, {}).setdefault(phase, []).append(sample)
        log(f"  {tool.name:10} {phase:10} {sample.wall:8.2f} s wall {sample.cpu:8.2f} s CPU"
            f" {sample.rss / 2**20:7.0f} MiB  others {sample.others:4.0%}")
        return True

    def run(self) -> None:
        """A month of snapshots by every tool, then what frees space."""
        for tool in self.tools:
            home = self.homes[tool.name] = self.scratch / tool.name
            home.mkdir()
            for command in tool.init(home):
                self.runner.run([command], accept=tool.accept)
        for day in range(DAYS):
            if day:
                self.changes.append(self.tree.change(day))
            log(f"day {day + 1}: {self.changes[-1] if day else self.described}")
            when = FIRST_DAY + datetime.timedelta(days=day)
            for tool in self.tools:
                if tool.name not in self.failures:
                    backup = tool.day(self.homes[tool.name], self.tree.top, when)
                    self.measure(tool, "later days" if day else "first day", [backup])
        for tool in self.tools:
            if tool.name not in self.failures:
                self.free(tool)

    def free(self, tool) -> None:
        """Forget, prune, check, restore."""
        home = self.homes[tool.name]
        before = compare.stored_size(home / "repo")
        if not self.measure(tool, "forget and prune", tool.forget(home)):
            return
        self.sizes[tool.name] = (before, compare.stored_size(home / "repo"))
        self.measure(tool, "again", tool.forget(home))
        self.measure(tool, "check", [tool.quick_check(home)])
        self.measure(tool, "check of all data", tool.check(home))
        target = self.scratch / f"restored-{tool.name}"
        target.mkdir()
        try:
            self.runner.run(tool.restore(home, self.tree.top, "newest", target), accept=tool.accept)
            result = compare.compare_trees(self.tree.top, compare.restored_root(target, self.tree.top))
        except (Failed, OSError) as error:
            result = f"FAILED: {error}"
        self.results[tool.name] = result
        log(f"  {tool.name:10} newest snapshot: {result}")
        shutil.rmtree(target)

    def is_good(self) -> bool:
        """Whether every tool did all, and gave the newest snapshot back."""
        good = all(self.results.get(tool.name, "").startswith("equal") for tool in self.tools)
        return good and not self.failures

    # --- the report

    def figures(self, tool, phase: str) -> list:
        """Wall and CPU seconds and peak memory; the mean of many samples."""
        samples = self.samples.get(tool.name, {}).get(phase)
        if not samples:
            return ["–"] * 3
        wall, cpu = (sum(getattr(s, what) for s in samples) / len(samples) for what in ("wall", "cpu"))
        mark = "*" if any(sample.disturbed for sample in samples) else ""
        return [f"{wall:.2f}{mark}", f"{cpu:.2f}", f"{max(s.rss for s in samples) / 2**20:.0f}"]

    def markdown(self) -> str:
        """The whole report."""
        host, tree = compare.machine(), self.described
        counts = {kind: sum(day[kind] for day in self.changes) for kind in self.changes[0]}
        lines = [
            "# Comparison of retention", "",
            f"- Date: {host['date']}",
            f"- Machine: {host['cpu']}, {host['cores']} cores, {host['memory'] / 2**30:.0f} GiB, Linux {host['kernel']}",
            f"- File system: {compare.filesystem(self.options.cache)}",
            f"- Tree: {tree['files']} files, {tree['bytes'] / 1e6:.0f} MB; changes in {DAYS - 1} days: "
            + ", ".join(f"{count} {kind}" for kind, count in counts.items()),
            f"- {DAYS} daily snapshots, of which {KEEP_DAYS} are kept",
            "", "| tool | version | how |", "|---|---|---|",
        ]
        lines += [f"| {tool.name} | {tool.version()} | {tool.note} |" for tool in self.tools]
        lines += [f"| {name} | not available | {reason} |" for name, reason in self.missing.items()]
        phases = ["first day", "later days", "forget and prune", "again", "check", "check of all data"]
        for index, title in enumerate(("Wall time, seconds", "CPU time, seconds", "Peak memory, MiB")):
            lines += ["", f"### {title}", "", "| | " + " | ".join(phases) + " |", "|---|" + "---:|" * len(phases)]
            for tool in self.tools:
                cells = [self.figures(tool, phase)[index] for phase in phases]
                lines.append(f"| {tool.name} | " + " | ".join(cells) + " |")
        lines += ["", "### Stored size, MB", "", "| | before | after | freed | files after | newest snapshot |",
                  "|---|---:|---:|---:|---:|---|"]
        for tool in self.tools:
            if tool.name in self.sizes:
                before, after = self.sizes[tool.name]
                sizes = (before["bytes"], after["bytes"], before["bytes"] - after["bytes"])
                cells = [f"{size / 1e6:.1f}" for size in sizes]
                result = self.results.get(tool.name, "–")
                lines.append(f"| {tool.name} | " + " | ".join(cells) + f" | {after['files']} | {result} |")
        lines += ["", "`later days`: the mean of a day. `again`: the same command when there is nothing to free. `*`: other "
                  f"programs used over {compare.BUSY_SHARE:.0%} of the processors meanwhile."]
        for name, failures in self.failures.items():
            for phase, reason in failures.items():
                lines.append(f"\nFailed: {name}, {phase}: {' '.join(reason.split())}")
        return "\n".join(lines) + "\n"


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=pathlib.Path, default=compare.DEFAULT_CACHE,
                        help="where peers, data and scratch files lie")
    parser.add_argument("--quick", action="store_true", help="300 MB of the tree")
    parser.add_argument("--sbf", type=pathlib.Path, default=compare.DEFAULT_SBF, help="our program")
    parser.add_argument("--only", help="names of tools, separated by commas")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one command")
    parser.add_argument("--out", type=pathlib.Path, help="write the report to this file, too")
    parser.add_argument("--keep", action="store_true", help="keep the scratch directory")
    options = parser.parse_args()
    options.cache = options.cache.expanduser().resolve()
    options.only = options.only.split(",") if options.only else None
    return options


def main() -> None:
    """Entry point."""
    options = parse()
    month = Month(options)
    try:
        month.run()
        text = month.markdown().replace(str(month.scratch), "SCRATCH").replace(str(pathlib.Path.home()), "~")
        print(text)
        if options.out:
            options.out.write_text(text)
    finally:
        if options.keep:
            log(f"kept {month.scratch}")
        else:
            shutil.rmtree(month.scratch, ignore_errors=True)
    if not month.is_good():
        sys.exit("not every tool did all")


if __name__ == "__main__":
    main()
