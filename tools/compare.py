#!/usr/bin/env python3
"""Compare sbf-repo with other deduplicating backup tools on the same data.

    tools/compare.py setup   install the other tools into the cache directory
    tools/compare.py data    make a real tree and real database dumps there
    tools/compare.py run     measure every tool and print a Markdown report

``--quick`` exercises the whole script on small, locally made data.  All state
lies below one directory (``--cache``, by default ``~/.cache/sbf-repo-bench``);
what a run writes lies in a scratch directory there, removed at its end.

What is measured: wall time from the start of a command until ``sync -f`` of the
target file system has returned, user plus system CPU time, and the peak
resident size of the largest process (the sum over the members of a pipeline).
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import datetime
import hashlib
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import benchdata  # noqa: E402

DEFAULT_CACHE = pathlib.Path("~/.cache/sbf-repo-bench").expanduser()
DEFAULT_SBF = pathlib.Path(__file__).resolve().parent.parent / "target/release/sbf-repo"
OURS = "sbf-repo"
PASSWORD = "a password for the comparison"
PHASES = ["first", "unchanged", "restore", "check", "dumps", "year", "baseline"]
GNU_TIME = "/usr/bin/time"
PR_SET_CHILD_SUBREAPER = 36
BUSY_SHARE = 0.10
DEBIAN_PACKAGES = [
    "zstd", "time", "pkg-config", "libsodium-dev", "libacl1-dev", "liblz4-dev",
    "libxxhash-dev", "libzstd-dev", "libssl-dev", "postgresql",
]


def log(message: str) -> None:
    """Tell what happens, on stderr."""
    print(message, file=sys.stderr, flush=True)


# --- measuring ---------------------------------------------------------------


@dataclasses.dataclass
class Command:
    """One program of a pipeline."""

    argv: list
    env: dict = dataclasses.field(default_factory=dict)
    cwd: pathlib.Path | None = None


@dataclasses.dataclass
class Sample:
    """What one run of a command cost."""

    wall: float
    cpu: float
    rss: int
    others: float

    @property
    def disturbed(self) -> bool:
        """Whether other programs used a noticeable share of the processors."""
        return self.others > BUSY_SHARE


class Failed(RuntimeError):
    """A measured command did not succeed."""


def busy_seconds() -> float:
    """CPU seconds used on the whole machine, stolen time included."""
    with open("/proc/stat", encoding="ascii") as file:
        fields = [int(value) for value in file.readline().split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


class Runner:
    """Starts pipelines and accounts for them.

    Processes that a tool leaves to themselves become children of this one, so
    that their costs are counted, too.
    """

    def __init__(self, scratch: pathlib.Path, timeout: float):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
        self.scratch = scratch
        self.timeout = timeout
        self.serial = 0

    def run(self, pipeline: list, sync: pathlib.Path | None = None,
            stdout=None, accept: tuple = (0,)) -> Sample:
        """Run `pipeline`, then sync the file system of `sync`; raise `Failed`.

        The peak resident size is taken by GNU time, whose own size is tiny: a
        process forked from this interpreter would inherit its peak.
        """
        self.serial += 1
        errors = self.scratch / f"stderr-{self.serial}"
        peaks, children = [], []
        source = subprocess.DEVNULL
        busy, start = busy_seconds(), time.monotonic()
        with open(errors, "wb") as stderr:
            for index, command in enumerate(pipeline):
                argv = [str(arg) for arg in command.argv]
                if os.path.exists(GNU_TIME):
                    peaks.append(self.scratch / f"peak-{self.serial}-{index}")
                    argv = [GNU_TIME, "-q", "-f", "%M", "-o", str(peaks[-1]), *argv]
                last = index == len(pipeline) - 1
                child = subprocess.Popen(
                    argv, env={**os.environ, **command.env}, cwd=command.cwd,
                    stdin=source, stderr=stderr, start_new_session=True,
                    stdout=(stdout or subprocess.DEVNULL) if last else subprocess.PIPE,
                )
                if source is not subprocess.DEVNULL:
                    source.close()
                source = child.stdout
                children.append(child)
            timer = threading.Timer(self.timeout, self._kill, [children])
            timer.start()
            try:
                statuses, cpu, rss = self._wait(children)
                orphan_cpu, orphan_rss = self._wait_orphans()
            except BaseException:
                self._kill(children)
                raise
            finally:
                timer.cancel()
        cpu += orphan_cpu
        if sync is not None:
            subprocess.run(["sync", "-f", str(sync)], check=True)
        wall = time.monotonic() - start
        others = max(busy_seconds() - busy - cpu, 0.0) / (wall * (os.cpu_count() or 1))
        if peaks:
            rss = 1024 * sum(int(path.read_text().split()[-1]) for path in peaks)
        rss = max(rss, orphan_rss)
        if any(status not in accept for status in statuses):
            tail = errors.read_text(errors="replace").strip()[-300:]
            raise Failed(f"exit status {statuses}: {tail}")
        return Sample(wall, cpu, rss, others)

    @staticmethod
    def _wait(children: list) -> tuple:
        """Wait for all children; their statuses, CPU seconds and peak bytes."""
        statuses, cpu, rss = [], 0.0, 0
        for child in children:
            _, status, usage = os.wait4(child.pid, 0)
            child.returncode = os.waitstatus_to_exitcode(status)
            statuses.append(child.returncode)
            cpu += usage.ru_utime + usage.ru_stime
            rss += usage.ru_maxrss * 1024
        return statuses, cpu, rss

    @staticmethod
    def _wait_orphans() -> tuple:
        """Wait for processes whose parents have ended; CPU seconds, peak bytes."""
        cpu, rss = 0.0, 0
        while True:
            try:
                _, _, usage = os.wait4(-1, 0)
            except ChildProcessError:
                return cpu, rss
            cpu += usage.ru_utime + usage.ru_stime
            rss = max(rss, usage.ru_maxrss * 1024)

    @staticmethod
    def _kill(children: list) -> None:
        """End what is still running of a pipeline, orphans included."""
        for child in children:
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass


# --- the tools ---------------------------------------------------------------


class Tool:
    """A backup tool; `home` is the directory of one repository and its state."""

    name = ""
    peer = True
    note = ""
    accept = (0,)

    def __init__(self, program: str | None):
        self.program = program

    def version(self) -> str:
        """The first line of what the tool says about its version."""
        done = subprocess.run(
            [self.program, "--version"], capture_output=True, text=True, check=False
        )
        lines = (done.stdout or done.stderr).strip().splitlines()
        return lines[0].strip("* ") if lines else "unknown"

    def environment(self, home: pathlib.Path) -> dict:
        """Keep caches and configuration of the tool below `home`."""
        return {
            "HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_STATE_HOME": str(home / "state"),
        }

    def command(self, home: pathlib.Path, *args, cwd=None) -> Command:
        """The tool with its usual options and `args`."""
        return Command([self.program, *args], self.environment(home), cwd)

    def init(self, home: pathlib.Path) -> list:
        """Commands that make an empty repository."""
        raise NotImplementedError

    def snapshot(self, home: pathlib.Path, tree: pathlib.Path, label: str) -> list:
        """The pipeline that backs `tree` up."""
        raise NotImplementedError

    def store(self, home: pathlib.Path, label: str) -> list:
        """The pipeline that backs its standard input up."""
        raise NotImplementedError

    def restore(self, home: pathlib.Path, tree: pathlib.Path, label: str,
                target: pathlib.Path) -> list:
        """The pipeline that restores the tree into `target`."""
        raise NotImplementedError

    def check(self, home: pathlib.Path) -> list | None:
        """The pipeline that verifies all data, None if there is none."""
        return None

    def fetch(self, home: pathlib.Path, label: str, target: pathlib.Path) -> list:
        """The pipeline that writes a stored dump to its standard output.

        A tool that can only restore into a directory restores into `target`.
        """
        raise NotImplementedError


class Sbf(Tool):
    """The tool of this repository."""

    name = OURS
    peer = False
    note = "key file, no password derivation"

    def environment(self, home):
        return {
            **super().environment(home),
            "SBF_REPO_CACHE_DIR": str(home / "cache"),
            "SBF_REPO_STATE_DIR": str(home / "state"),
        }

    def command(self, home, *args, cwd=None):
        base = ["-q", "-r", home / "repo", "--key-file", home / "key"]
        return super().command(home, *base, *args, cwd=cwd)

    def init(self, home):
        return [self.command(home, "init")]

    def snapshot(self, home, tree, label):
        return [self.command(home, "snapshot", "--source", "tree", tree)]

    def store(self, home, label):
        args = ("snapshot", "--source", "dump", "--stdin-name", "dump.sql")
        return [self.command(home, *args)]

    def restore(self, home, tree, label, target):
        return [self.command(home, "restore", "tree@latest", "--target", target)]

    def check(self, home):
        return [self.command(home, "check", "--read-data")]

    def fetch(self, home, label, target):
        return [self.command(home, "restore", "dump@latest", "--target", target)]


class Restic(Tool):
    """restic, repository format 2 with its default compression."""

    name = "restic"
    note = "password, scrypt of some 0.5 s for each command; default compression"

    def version(self):
        done = subprocess.run([self.program, "version"], capture_output=True, text=True,
                              check=False)
        return done.stdout.strip()

    def command(self, home, *args, cwd=None):
        base = ["-q", "-r", home / "repo", "--password-file", home / "password",
                "--cache-dir", home / "cache"]
        return super().command(home, *base, *args, cwd=cwd)

    def init(self, home):
        (home / "password").write_text(PASSWORD + "\n")
        return [self.command(home, "init")]

    def snapshot(self, home, tree, label):
        return [self.command(home, "backup", tree.name, cwd=tree.parent)]

    def store(self, home, label):
        return [self.command(home, "backup", "--stdin", "--stdin-filename", "dump.sql")]

    def restore(self, home, tree, label, target):
        return [self.command(home, "restore", "latest", "--target", target)]

    def check(self, home):
        return [self.command(home, "check", "--read-data")]

    def fetch(self, home, label, target):
        return [self.command(home, "dump", "latest", "dump.sql")]


class Rustic(Restic):
    """rustic, on a repository of restic's format."""

    name = "rustic"
    note = (
        "password, scrypt for each command (which alone takes some 130 MiB); dumps with"
        " --force, since it takes a second one of the same name for unchanged"
    )

    def version(self):
        return Tool.version(self)

    def command(self, home, *args, cwd=None):
        base = ["--log-level", "error", "--no-progress", "-r", home / "repo",
                "--password-file", home / "password", "--cache-dir", home / "cache"]
        return Tool.command(self, home, *base, *args, cwd=cwd)

    def store(self, home, label):
        return [self.command(home, "backup", "--force", "--stdin-filename", "dump.sql", "-")]

    def restore(self, home, tree, label, target):
        return [self.command(home, "restore", f"latest:{tree.name}", target)]

    def fetch(self, home, label, target):
        return [self.command(home, "dump", "latest:dump.sql")]


class Borg(Tool):
    """borg 1 with its default compression."""

    name = "borg"
    note = "passphrase, PBKDF2; encryption repokey (AES-CTR, HMAC-SHA256); lz4, its default"
    compression = "lz4"
    accept = (0, 1)

    def environment(self, home):
        return {
            **super().environment(home),
            "BORG_PASSPHRASE": PASSWORD,
            "BORG_BASE_DIR": str(home / "base"),
            "BORG_REPO": str(home / "repo"),
        }

    def init(self, home):
        return [self.command(home, "init", "--encryption", "repokey")]

    def snapshot(self, home, tree, label):
        args = ("create", "--compression", self.compression, f"::{label}", tree.name)
        return [self.command(home, *args, cwd=tree.parent)]

    def store(self, home, label):
        args = ("create", "--compression", self.compression, "--stdin-name", "dump.sql")
        return [self.command(home, *args, f"::{label}", "-")]

    def restore(self, home, tree, label, target):
        return [self.command(home, "extract", f"::{label}", cwd=target)]

    def check(self, home):
        return [self.command(home, "check", "--verify-data")]

    def fetch(self, home, label, target):
        return [self.command(home, "extract", "--stdout", f"::{label}")]


class BorgZstd(Borg):
    """borg 1 with the compression most other tools use."""

    name = "borg-zstd"
    note = "as borg, with --compression zstd,3"
    compression = "zstd,3"


class Bupstash(Tool):
    """bupstash, whose repository is served by a process of its own."""

    name = "bupstash"
    note = "key file, no password derivation; zstd:3, its default; cannot verify all data"

    def command(self, home, *args, cwd=None):
        verb, *rest = args
        if verb not in ("init", "new-key"):
            rest = ["-k", home / "key", *rest]
        if verb != "new-key":
            rest = ["-r", home / "repo", *rest]
        return super().command(home, verb, *rest, cwd=cwd)

    def init(self, home):
        return [self.command(home, "new-key", "-o", home / "key"), self.command(home, "init")]

    def snapshot(self, home, tree, label):
        args = ("put", "-q", "--send-log", home / "send-log", f"name={label}", "::", tree)
        return [self.command(home, *args)]

    def store(self, home, label):
        args = ("put", "-q", "--send-log", home / "send-log", f"name={label}", "::", "-")
        return [self.command(home, *args)]

    def restore(self, home, tree, label, target):
        args = ("restore", "-q", "--ownership", "--into", target, f"name={label}")
        return [self.command(home, *args)]

    def fetch(self, home, label, target):
        return [self.command(home, "get", "-q", f"name={label}")]


class TarZstd(Tool):
    """A baseline: one compressed file per backup, neither encrypted nor deduplicated."""

    name = "tar+zstd"
    peer = False
    note = "baseline: tar to zstd -3 -T2; no encryption, no deduplication"

    def init(self, home):
        (home / "repo").mkdir()
        return []

    def snapshot(self, home, tree, label):
        return [
            Command(["tar", "-C", tree.parent, "-cf", "-", tree.name]),
            self.command(home, "-q", "-3", "-T2", "-o", home / "repo" / f"{label}.zst"),
        ]

    def store(self, home, label):
        return [self.command(home, "-q", "-3", "-T2", "-o", home / "repo" / f"{label}.zst")]

    def restore(self, home, tree, label, target):
        return [
            self.command(home, "-q", "-dc", home / "repo" / f"{label}.zst"),
            Command(["tar", "-C", target, "-xpf", "-"]),
        ]

    def check(self, home):
        return [self.command(home, "-q", "-t", *sorted((home / "repo").iterdir()))]

    def fetch(self, home, label, target):
        return [self.command(home, "-q", "-dc", home / "repo" / f"{label}.zst")]


TOOLS = [Sbf, Restic, Rustic, Borg, BorgZstd, Bupstash, TarZstd]


# --- setup -------------------------------------------------------------------


def try_run(argv: list, logfile: pathlib.Path, env: dict | None = None) -> str | None:
    """Run a step of the setup; None if it succeeded, else the reason."""
    with open(logfile, "ab") as file:
        done = subprocess.run(
            ["nice", "-n", "15", *map(str, argv)], stdout=file, stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})}, check=False,
        )
    if done.returncode == 0:
        return None
    text = logfile.read_text(errors="replace")
    errors = [line for line in text.splitlines() if re.match(r"\s*(error|E:|ERROR)", line)]
    return (errors or text.strip().splitlines() or ["no output"])[-1].strip()[:200]


def setup_debian(cache: pathlib.Path) -> None:
    """Install the Debian packages the peers and the data need."""
    missing = [
        name for name in DEBIAN_PACKAGES
        if "install ok installed" not in subprocess.run(
            ["dpkg-query", "-W", "-f", "${Status}", name],
            capture_output=True, text=True, check=False,
        ).stdout
    ]
    if not missing:
        return
    log(f"installing {' '.join(missing)}")
    logfile = cache / "logs" / "debian.log"
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    reason = try_run(["apt-get", "update"], logfile) or try_run(
        ["apt-get", "install", "-y", "--no-install-recommends", *missing], logfile, quiet
    )
    if reason:
        log(f"  failed: {reason}")


def setup_restic(cache: pathlib.Path) -> tuple:
    """The newest restic packaged by Debian, unpacked and not installed.

    The one in the stable release is years behind, and the program is linked
    such that it runs on any release.
    """
    program = cache / "peers" / "restic" / "usr/bin/restic"
    reason = None
    if not program.exists():
        apt = cache / "apt"
        for name in ("lists/partial", "cache/archives/partial"):
            (apt / name).mkdir(parents=True, exist_ok=True)
        keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"
        sources = apt / "sources.list"
        sources.write_text(f"deb [signed-by={keyring}] http://deb.debian.org/debian sid main\n")
        options = [
            "-o", f"Dir::Etc::sourcelist={sources}", "-o", "Dir::Etc::sourceparts=/dev/null",
            "-o", f"Dir::State::lists={apt / 'lists'}", "-o", f"Dir::Cache={apt / 'cache'}",
        ]
        script = (
            'cd "$0" && apt-get "$@" update && apt-get "$@" download restic'
            ' && dpkg -x restic_*.deb ../peers/restic'
        )
        reason = try_run(["sh", "-c", script, apt, *options], cache / "logs" / "restic.log")
        shutil.rmtree(apt, ignore_errors=True)
    if program.exists():
        return str(program), None
    if not shutil.which("restic"):
        try_run(["apt-get", "install", "-y", "restic"], cache / "logs" / "restic.log")
    return shutil.which("restic"), reason


def setup_borg(cache: pathlib.Path) -> tuple:
    """borg from PyPI, in a virtual environment."""
    venv = cache / "borg-venv"
    program = venv / "bin" / "borg"
    logfile = cache / "logs" / "borg.log"
    reason = None
    if not program.exists():
        reason = try_run([sys.executable, "-m", "venv", venv], logfile) or try_run(
            [venv / "bin" / "pip", "install", "borgbackup"], logfile
        )
    return (str(program), None) if program.exists() else (None, reason)


def setup_cargo(cache: pathlib.Path, crate: str, program: str, *options: str) -> tuple:
    """A program from crates.io, with its own versions of its dependencies."""
    path = cache / "peers" / "bin" / program
    reason = None
    if not path.exists():
        argv = ["cargo", "install", "--locked", "--root", cache / "peers", *options, crate]
        logfile = cache / "logs" / f"{program}.log"
        target = {"CARGO_TARGET_DIR": str(cache / "peer-target")}
        reason = try_run(argv, logfile, target)
    return (str(path), None) if path.exists() else (None, reason)


def command_setup(options: argparse.Namespace) -> None:
    """Install all peers and write down where they are."""
    cache = options.cache
    for name in ("logs", "peers"):
        (cache / name).mkdir(parents=True, exist_ok=True)
    setup_debian(cache)
    steps = {
        "restic": lambda: setup_restic(cache),
        "borg": lambda: setup_borg(cache),
        "rustic": lambda: setup_cargo(cache, "rustic-rs", "rustic", "--no-default-features"),
        "bupstash": lambda: setup_cargo(cache, "bupstash", "bupstash"),
        "tar+zstd": lambda: (shutil.which("zstd"), "no zstd"),
        "vykar": lambda: (None, "not on crates.io"),
    }
    peers = {}
    for name, step in steps.items():
        log(f"setting up {name}")
        program, reason = step()
        peers[name] = {"program": program, "reason": None if program else reason}
        log(f"  {program or 'not available: ' + str(reason)}")
    shutil.rmtree(cache / "peer-target", ignore_errors=True)
    peers["borg-zstd"] = peers["borg"]
    (cache / "peers.json").write_text(json.dumps(peers, indent=1))


# --- data --------------------------------------------------------------------


def data_directory(options: argparse.Namespace) -> pathlib.Path:
    """Where the data sets lie."""
    return options.cache / "data" / ("quick" if options.quick else "full")


def command_data(options: argparse.Namespace) -> dict:
    """Make the data sets that are missing; describe them."""
    data = data_directory(options)
    data.mkdir(parents=True, exist_ok=True)
    log(f"data in {data}")
    if options.quick:
        tree = benchdata.make_quick_tree(data, log=log)
        dumps = benchdata.make_quick_dumps(data, log=log)
    else:
        tree = benchdata.make_tree(data, log=log)
        dumps = benchdata.make_dumps(
            data, scale=options.scale, transactions=options.transactions, log=log
        )
        benchdata.make_year(data, log=log)
    log(f"tree: {tree['files']} files, {tree['bytes']} bytes; dumps: {dumps['bytes']}")
    return {"tree": tree, "dumps": dumps}


# --- helpers of a run --------------------------------------------------------


def read_all(root: pathlib.Path) -> None:
    """Read every file below `root`, so that it is in the page cache."""
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.islink(path):
                with open(path, "rb", buffering=0) as file:
                    while file.read(1 << 20):
                        pass


def stored_size(root: pathlib.Path) -> dict:
    """Bytes of all files of a repository, and what they occupy on disk."""
    length = disk = files = 0
    for folder, _, names in os.walk(root):
        for name in names:
            info = os.lstat(os.path.join(folder, name))
            length += info.st_size
            disk += info.st_blocks * 512
            files += 1
    return {"bytes": length, "disk": disk, "files": files}


def same_content(one: str, two: str) -> bool:
    """Whether two files hold the same bytes."""
    with open(one, "rb", buffering=0) as a, open(two, "rb", buffering=0) as b:
        while True:
            left, right = a.read(1 << 20), b.read(1 << 20)
            if left != right:
                return False
            if not left:
                return True


def compare_trees(source: pathlib.Path, copy: pathlib.Path) -> str:
    """Compare all names, kinds, contents, link targets, modes and times.

    Returns a sentence; it starts with "equal" if names, kinds, contents and
    link targets agree.
    """
    wrong, modes, times, seen = [], 0, 0, 0
    stack = [""]
    while stack:
        folder = stack.pop()
        here = {entry.name: entry for entry in os.scandir(source / folder)}
        there = {entry.name: entry for entry in os.scandir(copy / folder)}
        wrong += [os.path.join(folder, name) for name in here.keys() ^ there.keys()]
        for name in here.keys() & there.keys():
            seen += 1
            one, two = here[name], there[name]
            a, b = one.stat(follow_symlinks=False), two.stat(follow_symlinks=False)
            path = os.path.join(folder, name)
            if one.is_symlink():
                good = two.is_symlink() and os.readlink(one) == os.readlink(two)
            elif one.is_dir():
                good = two.is_dir(follow_symlinks=False)
                if good:
                    stack.append(path)
            else:
                good = two.is_file(follow_symlinks=False) and a.st_size == b.st_size
                good = good and same_content(one.path, two.path)
            if not good:
                wrong.append(path)
                continue
            modes += a.st_mode != b.st_mode
            times += a.st_mtime_ns != b.st_mtime_ns
    meta = "".join(
        f", {count} {what} differ" for count, what in ((modes, "modes"), (times, "mtimes")) if count
    )
    if wrong:
        return f"DIFFERENT in {len(wrong)} of {seen} entries, e.g. {wrong[0]}{meta}"
    return f"equal ({seen} entries{meta})"


def restored_root(target: pathlib.Path, tree: pathlib.Path) -> pathlib.Path:
    """Where a tool put the tree: some keep the whole path, some the last name."""
    for candidate in (target / str(tree).lstrip("/"), target / tree.name):
        if candidate.is_dir():
            return candidate
    return target


def digest(path: pathlib.Path) -> str:
    """SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def machine() -> dict:
    """What the measurements were made on."""
    model = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "memory": memory,
        "kernel": platform.release(),
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }


def filesystem(path: pathlib.Path) -> str:
    """Type and options of the file system that holds `path`."""
    done = subprocess.run(
        ["findmnt", "-no", "FSTYPE,OPTIONS", "--target", str(path)],
        capture_output=True, text=True, check=False,
    )
    return " ".join(done.stdout.split()) or "unknown"


# --- the run -----------------------------------------------------------------


class Comparison:
    """All measurements of one run."""

    def __init__(self, options: argparse.Namespace):
        self.options = options
        self.data = data_directory(options)
        self.tree = self.data / "tree"
        self.dumps = sorted((self.data / "dumps").glob("dump-*.sql"))
        self.description = {
            name: json.loads((self.data / f"{name}.json").read_text())
            for name in ("tree", "dumps")
        }
        stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
        self.scratch = options.cache / "scratch" / f"run-{stamp}-{os.getpid()}"
        self.scratch.mkdir(parents=True)
        self.runner = Runner(self.scratch, options.timeout)
        self.samples: dict = {}
        self.failures: dict = {}
        self.sizes: dict = {}
        self.verified: dict = {}
        self.remarks: list = []
        self.tools, self.missing = self.find_tools()
        self.versions = {tool.name: tool.version() for tool in self.tools}

    def find_tools(self) -> tuple:
        """The tools that can be run, and why the others cannot."""
        listing = self.options.cache / "peers.json"
        peers = json.loads(listing.read_text()) if listing.exists() else {}
        tools, missing = [], {}
        for kind in TOOLS:
            if self.options.only and kind.name not in self.options.only:
                continue
            if kind is Sbf:
                program = str(self.options.sbf.resolve())
                reason = "not built"
            else:
                entry = peers.get(kind.name, {})
                plain = kind.name.removeprefix("tar+")
                program = entry.get("program") or shutil.which(plain)
                reason = entry.get("reason") or "not set up"
            if program and os.access(program, os.X_OK):
                tools.append(kind(program))
            else:
                missing[kind.name] = reason
        for name, entry in peers.items():
            known = {kind.name for kind in TOOLS}
            if name not in known and not entry["program"] and not self.options.only:
                missing[name] = entry["reason"]
        return tools, missing

    def measure(self, name: str, phase: str, *args, **kwargs) -> bool:
        """Measure one phase of one tool; a failure is written down."""
        os.sync()
        try:
            sample = self.runner.run(*args, **kwargs)
        except (Failed, OSError) as error:
            self.failures.setdefault(name, {})[phase] = str(error)
            log(f"  {name:10} {phase:10} FAILED: {error}")
            return False
        self.samples.setdefault(name, {}).setdefault(phase, []).append(sample)
        log(
            f"  {name:10} {phase:10} {sample.wall:8.2f} s wall {sample.cpu:8.2f} s CPU"
            f" {sample.rss / 2**20:7.0f} MiB  others {sample.others:4.0%}"
        )
        return True

    def untimed(self, pipeline: list, tool: Tool, stdout=None) -> None:
        """Run something that is not measured."""
        self.runner.run(pipeline, accept=tool.accept, stdout=stdout)

    def make_home(self, tool: Tool, kind: str, repeat: int) -> pathlib.Path:
        """An empty repository of `tool`."""
        home = self.scratch / f"{tool.name}-{kind}-{repeat}"
        home.mkdir()
        for command in tool.init(home):
            self.untimed([command], tool)
        return home

    def make_room(self) -> None:
        """Remove earlier restored trees if the disk is about to be full."""
        need = 2 * self.description["tree"]["bytes"] + 4 * 2**30
        if self.options.quick or shutil.disk_usage(self.scratch).free > need:
            return
        self.remarks.append("restored trees were removed between phases for want of space")
        for path in self.scratch.glob("restored-*"):
            shutil.rmtree(path, ignore_errors=True)
        os.sync()
        time.sleep(30)

    def run_tree(self, tool: Tool, repeat: int) -> None:
        """First and unchanged snapshot, restore and check of the tree."""
        phases = self.options.phases
        if not {"first", "unchanged", "restore", "check"} & set(phases):
            return
        try:
            home = self.make_home(tool, "tree", repeat)
        except (Failed, OSError) as error:
            self.failures.setdefault(tool.name, {})["first"] = f"init: {error}"
            log(f"  {tool.name}: init failed: {error}")
            return
        read_all(self.tree)
        timed = {"sync": self.scratch, "accept": tool.accept}
        first = tool.snapshot(home, self.tree, "tree-1")
        if not self.measure(tool.name, "first", first, **timed):
            return
        self.sizes.setdefault(tool.name, {})["tree"] = stored_size(home / "repo")
        if "unchanged" in phases and not isinstance(tool, TarZstd):
            again = tool.snapshot(home, self.tree, "tree-2")
            if self.measure(tool.name, "unchanged", again, **timed):
                self.sizes[tool.name]["unchanged"] = stored_size(home / "repo")
        if "check" in phases:
            check = tool.check(home)
            if check:
                self.measure(tool.name, "check", check, **timed)
        if "restore" in phases:
            self.make_room()
            target = self.scratch / f"restored-{tool.name}-{repeat}"
            target.mkdir()
            restore = tool.restore(home, self.tree, "tree-1", target)
            done = self.measure(tool.name, "restore", restore, **timed)
            if done and repeat == 0:
                result = compare_trees(self.tree, restored_root(target, self.tree))
                self.verified.setdefault(tool.name, {})["tree"] = result
                log(f"  {tool.name:10} restored tree: {result}")

    def run_dumps(self, tool: Tool, repeat: int) -> None:
        """All dumps over standard input, into a repository of their own."""
        if "dumps" not in self.options.phases:
            return
        try:
            home = self.make_home(tool, "dumps", repeat)
        except (Failed, OSError) as error:
            self.failures.setdefault(tool.name, {})["dump-1"] = f"init: {error}"
            return
        after = []
        for number, dump in enumerate(self.dumps, 1):
            with open(dump, "rb", buffering=0) as file:
                while file.read(1 << 20):
                    pass
            pipeline = [Command(["cat", dump]), *tool.store(home, f"dump-{number}")]
            timed = {"sync": self.scratch, "accept": tool.accept}
            if not self.measure(tool.name, f"dump-{number}", pipeline, **timed):
                return
            after.append(stored_size(home / "repo")["bytes"])
        self.sizes.setdefault(tool.name, {})["dumps"] = after
        if repeat == 0:
            result = self.verify_dump(tool, home, f"dump-{len(self.dumps)}")
            self.verified.setdefault(tool.name, {})["dumps"] = result
            log(f"  {tool.name:10} last dump: {result}")

    def run_year(self, tool: Tool) -> None:
        """What the dumps of a year take, one after the other; they are not timed."""
        dumps = sorted((self.data / "year").glob("dump-*.sql"))
        if "year" not in self.options.phases:
            return
        if not dumps:
            self.remarks.append("the quick data has no dumps of a year")
            return
        after = []
        try:
            home = self.make_home(tool, "year", 0)
            for dump in dumps:
                store = tool.store(home, dump.stem)
                self.untimed([Command(["cat", dump]), *store], tool)
                after.append(stored_size(home / "repo")["bytes"])
        except (Failed, OSError) as error:
            self.failures.setdefault(tool.name, {})["year"] = str(error)
            log(f"  {tool.name:10} year       FAILED: {error}")
            return
        self.sizes.setdefault(tool.name, {})["year"] = after
        log(f"  {tool.name:10} year       {after[0] / 1e6:.1f} MB, at last {after[-1] / 1e6:.1f}")

    def verify_dump(self, tool: Tool, home: pathlib.Path, label: str) -> str:
        """Read the last dump back and compare it with the original."""
        target = home / "fetched"
        target.mkdir()
        output = target / "output"
        try:
            with open(output, "wb") as file:
                self.untimed(tool.fetch(home, label, target), tool, stdout=file)
        except (Failed, OSError) as error:
            return f"not read back: {error}"
        found = [p for p in target.rglob("*") if p.is_file() and p.stat().st_size]
        want = digest(self.dumps[-1])
        return "equal" if any(digest(path) == want for path in found) else "DIFFERENT"

    def run_baseline(self, repeat: int) -> None:
        """What the machine can do: walk, read, copy, write."""
        if "baseline" not in self.options.phases:
            return
        read_all(self.tree)
        tree, name = self.tree, "baseline"
        self.measure(name, "find", [Command(["find", tree, "-printf", "%s %T@\\n"])])
        reading = [
            Command(["find", tree, "-type", "f", "-print0"]), Command(["xargs", "-0", "cat"]),
        ]
        self.measure(name, "read", reading)
        copy = Command(["cp", "-a", tree, self.scratch / f"restored-cp-{repeat}"])
        self.make_room()
        self.measure(name, "cp -a", [copy], sync=self.scratch)
        block = self.scratch / "random"
        count = 64 if self.options.quick else 1024
        if not block.exists():
            with open(block, "wb") as file:
                for _ in range(count):
                    file.write(os.urandom(1 << 20))
        write = ["dd", f"if={block}", f"of={self.scratch / f'dd-{repeat}'}", "bs=1M"]
        self.measure(name, "dd write", [Command([*write, "conv=fdatasync"])])
        self.sizes["baseline"] = {"dd": count << 20}

    def run(self) -> None:
        """Run all, repeat by repeat, in a rotated order of the tools."""
        for repeat in range(self.options.repeat):
            shift = repeat % max(len(self.tools), 1)
            for tool in self.tools[shift:] + self.tools[:shift]:
                log(f"{tool.name}, repeat {repeat + 1} of {self.options.repeat}")
                self.run_tree(tool, repeat)
                self.run_dumps(tool, repeat)
                if repeat == 0:
                    self.run_year(tool)
            log(f"baseline, repeat {repeat + 1} of {self.options.repeat}")
            self.run_baseline(repeat)

    def cleanup(self) -> None:
        """Remove what the run wrote."""
        if self.options.keep:
            log(f"kept {self.scratch}")
        else:
            shutil.rmtree(self.scratch, ignore_errors=True)

    def as_json(self) -> dict:
        """Everything measured, for other programs."""
        return {
            "machine": {**machine(), "filesystem": filesystem(self.options.cache)},
            "data": self.description,
            "versions": self.versions,
            "missing": self.missing,
            "samples": {
                name: {
                    phase: [dataclasses.asdict(sample) for sample in samples]
                    for phase, samples in phases.items()
                }
                for name, phases in self.samples.items()
            },
            "sizes": self.sizes,
            "failures": self.failures,
            "verified": self.verified,
            "remarks": self.remarks,
        }


# --- the report --------------------------------------------------------------


class Report:
    """Markdown from a `Comparison`."""

    METRICS = {
        "wall": ("Wall time, seconds", lambda s: s.wall, "{:.2f}"),
        "cpu": ("User + system CPU, seconds", lambda s: s.cpu, "{:.2f}"),
        "rss": ("Peak memory, MiB", lambda s: s.rss / 2**20, "{:.0f}"),
    }
    COLUMNS = {
        "first": "first snapshot", "unchanged": "unchanged snapshot", "restore": "restore",
        "check": "check, all data", "dump-1": "first dump", "later": "later dump, mean",
    }

    def __init__(self, comparison: Comparison):
        self.c = comparison
        self.names = [kind.name for kind in TOOLS if kind.name in comparison.versions]
        self.peers = [k.name for k in TOOLS if k.peer and k.name in comparison.versions]

    def later(self) -> list:
        """Names of the phases of all dumps but the first."""
        return [f"dump-{number}" for number in range(2, len(self.c.dumps) + 1)]

    def best(self, name: str, phase: str, metric: str):
        """The lowest figure of a phase, whether disturbed, and its spread."""
        value = self.METRICS[metric][1]
        if phase == "later":
            parts = [self.best(name, dump, metric) for dump in self.later()]
            if not parts or None in parts:
                return None
            count = len(parts)
            return (
                sum(p[0] for p in parts) / count, any(p[1] for p in parts),
                sum(p[2] for p in parts) / count,
            )
        samples = self.c.samples.get(name, {}).get(phase)
        if not samples:
            return None
        if metric == "rss":
            highest = max(value(sample) for sample in samples)
            return highest, False, highest
        low = min(samples, key=value)
        return value(low), low.disturbed, max(value(sample) for sample in samples)

    def cell(self, name: str, phase: str, metric: str) -> str:
        """One figure of a table."""
        figure = self.best(name, phase, metric)
        if figure is None:
            return "failed" if phase in self.c.failures.get(name, {}) else "–"
        form = self.METRICS[metric][2]
        text = form.format(figure[0])
        if self.c.options.repeat > 1 and metric != "rss":
            text += f" (…{form.format(figure[2])})"
        return text + ("*" if figure[1] else "")

    def ratio(self, ours, rivals: dict) -> str:
        """Our figure in terms of the lowest figure of the peers."""
        rivals = {name: figure for name, figure in rivals.items() if figure}
        if not ours or not rivals:
            return "–"
        name = min(rivals, key=rivals.get)
        return f"{ours / rivals[name]:.2f} ({name})"

    def ratio_of_phase(self, phase: str, metric: str) -> str:
        """Our ratio to the best peer in one phase."""
        figures = {name: self.best(name, phase, metric) for name in [OURS, *self.peers]}
        values = {name: figure[0] for name, figure in figures.items() if figure}
        return self.ratio(values.pop(OURS, None), values)

    @staticmethod
    def table(head: list, rows: list) -> list:
        """A Markdown table."""
        lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
        return lines + ["| " + " | ".join(row) + " |" for row in rows]

    def metric_table(self, metric: str) -> list:
        """One metric of all tools and phases, with our ratios below."""
        phases = [
            phase for phase in self.COLUMNS
            if any(self.best(name, phase, metric) for name in self.names)
        ]
        rows = [[name, *(self.cell(name, phase, metric) for phase in phases)]
                for name in self.names]
        if OURS in self.names and self.peers:
            ratios = [self.ratio_of_phase(phase, metric) for phase in phases]
            rows.append([f"**{OURS} / best peer**", *(f"**{text}**" for text in ratios)])
        head = ["", *(self.COLUMNS[phase] for phase in phases)]
        return [f"### {self.METRICS[metric][0]}", "", *self.table(head, rows), ""]

    def tree_size_table(self) -> list:
        """What the repositories of the tree take."""
        sizes = {n: self.c.sizes[n] for n in self.names if "tree" in self.c.sizes.get(n, {})}
        if not sizes:
            return []
        rows = []
        for name, size in sizes.items():
            tree, again = size["tree"], size.get("unchanged")
            growth = f"{(again['bytes'] - tree['bytes']) / 1e3:.1f}" if again else "–"
            rows.append([
                name, f"{tree['bytes'] / 1e6:.1f}", f"{tree['disk'] / 1e6:.1f}",
                str(tree["files"]), growth,
            ])
        ours = sizes.get(OURS)
        if ours:
            texts = [
                self.ratio(ours["tree"][key], {
                    name: size["tree"][key] for name, size in sizes.items() if name in self.peers
                }) for key in ("bytes", "disk")
            ]
            rows.append([f"**{OURS} / smallest peer**", *(f"**{t}**" for t in texts), "", ""])
        head = ["", "MB", "MB on disk", "files", "kB more after the unchanged snapshot"]
        return ["### Stored size of the tree", "", *self.table(head, rows), ""]

    def dump_tables(self) -> list:
        """Time of every dump and the size of the repository after it."""
        names = [n for n in self.names if "dumps" in self.c.sizes.get(n, {})]
        if not names:
            return []
        count = len(self.c.dumps)
        head = ["", *(f"dump {number}" for number in range(1, count + 1))]
        phases = [f"dump-{number}" for number in range(1, count + 1)]
        times = [[name, *(self.cell(name, phase, "wall") for phase in phases)]
                 for name in names]
        sizes = [[name, *(f"{size / 1e6:.1f}" for size in self.c.sizes[name]["dumps"])]
                 for name in names]
        if OURS in names and self.peers:
            row = [f"**{self.ratio_of_phase(phase, 'wall')}**" for phase in phases]
            times.append([f"**{OURS} / best peer**", *row])
            row = []
            for index in range(count):
                rivals = {
                    n: self.c.sizes[n]["dumps"][index] for n in names if n in self.peers
                }
                row.append(f"**{self.ratio(self.c.sizes[OURS]['dumps'][index], rivals)}**")
            sizes.append([f"**{OURS} / smallest peer**", *row])
        return [
            "### Wall time of each dump, seconds", "", *self.table(head, times), "",
            "### Stored size after each dump, MB", "", *self.table(head, sizes), "",
        ]

    def year_table(self) -> list:
        """What the dumps of a year take in relation to the first one."""
        sizes = {n: self.c.sizes[n]["year"] for n in self.names if "year" in self.c.sizes.get(n, {})}
        if not sizes:
            return []
        rows = [
            [name, f"{after[0] / 1e6:.1f}", f"{after[-1] / 1e6:.1f}", f"{after[-1] / after[0]:.2f}"]
            for name, after in sizes.items()
        ]
        if OURS in sizes and self.peers:
            rivals = {name: after[-1] for name, after in sizes.items() if name in self.peers}
            row = ["", f"**{self.ratio(sizes[OURS][-1], rivals)}**", ""]
            rows.append([f"**{OURS} / smallest peer**", *row])
        head = ["", "first dump, MB", "12 monthly, 4 weekly, 7 daily dumps, MB", "times the first"]
        return ["### A year of a growing database", "", *self.table(head, rows), ""]

    def baseline_table(self) -> list:
        """What the machine does without any backup tool."""
        phases = self.c.samples.get("baseline")
        if not phases:
            return []
        rows = []
        for phase in phases:
            row = [phase] + [self.cell("baseline", phase, metric) for metric in self.METRICS]
            wall = self.best("baseline", phase, "wall")[0]
            volume = self.c.description["tree"]["bytes"]
            if phase == "dd write":
                volume = self.c.sizes["baseline"]["dd"]
            rows.append([*row, "–" if phase == "find" else f"{volume / wall / 1e6:.0f}"])
        head = ["", "wall, s", "CPU, s", "memory, MiB", "MB/s"]
        return ["### Baselines", "", *self.table(head, rows), ""]

    def preface(self) -> list:
        """Machine, data and versions."""
        host, tree, dumps = machine(), self.c.description["tree"], self.c.description["dumps"]
        sizes = ", ".join(f"{size / 1e6:.0f}" for size in dumps["bytes"])
        lines = [
            "# Comparison of backup tools", "",
            f"- Date: {host['date']}",
            f"- Machine: {host['cpu']}, {host['cores']} cores, {host['memory'] / 2**30:.0f} GiB, "
            f"Linux {host['kernel']}",
            f"- File system: {filesystem(self.c.options.cache)}",
            f"- Tree: {tree['files']} files, {tree['dirs']} directories, {tree['symlinks']} "
            f"symbolic links, {tree['bytes']} bytes",
            f"- Dumps: {dumps['kind']}{', ' + dumps['server'] if 'server' in dumps else ''}; "
            f"{sizes} MB",
            f"- Repeats: {self.c.options.repeat}; times are the lowest, the highest follows in "
            "parentheses; memory is the highest",
            "", "| tool | version | mode |", "|---|---|---|",
        ]
        notes = {kind.name: kind.note for kind in TOOLS}
        lines += [f"| {name} | {self.c.versions[name]} | {notes[name]} |" for name in self.names]
        lines += [
            f"| {name} | not available | {reason} |" for name, reason in self.c.missing.items()
        ]
        return [*lines, ""]

    def remarks(self) -> list:
        """How to read the figures, what failed, what was verified."""
        lines = [
            "### Remarks", "",
            "- Times end when `sync -f` of the file system has returned; a full `sync` precedes "
            "each measurement. The page cache is warm. All but tar+zstd encrypt.",
            "- Every restore goes into a new directory; nothing is deleted before the end.",
            "- Peak memory is that of the largest process, in pipelines the sum of the members.",
            f"- `*`: other programs used over {BUSY_SHARE:.0%} of the processors meanwhile "
            "(kernel threads and stolen time included).",
        ]
        for name, results in self.c.verified.items():
            text = "; ".join(f"{what} {result}" for what, result in results.items())
            lines.append(f"- Read back with {name}: {text}.")
        for name, failures in self.c.failures.items():
            for phase, reason in failures.items():
                lines.append(f"- Failed: {name}, {phase}: {' '.join(reason.split())}")
        return lines + [f"- Note: {remark}." for remark in dict.fromkeys(self.c.remarks)]

    def markdown(self) -> str:
        """The whole report."""
        lines = self.preface()
        for metric in self.METRICS:
            lines += self.metric_table(metric)
        lines += self.tree_size_table() + self.dump_tables() + self.year_table()
        return "\n".join(lines + self.baseline_table() + self.remarks()) + "\n"


def command_run(options: argparse.Namespace) -> None:
    """Measure and report."""
    data = data_directory(options)
    wanted = ["tree", "dumps"] + ([] if options.quick else ["year"])
    if not all((data / f"{name}.json").exists() for name in wanted):
        command_data(options)
    comparison = Comparison(options)
    for name, reason in comparison.missing.items():
        log(f"{name} is not available: {reason}")
    try:
        comparison.run()
    except KeyboardInterrupt:
        comparison.remarks.append("the run was interrupted")
        log("interrupted")
    try:
        text = Report(comparison).markdown()
        home = str(pathlib.Path.home())
        text = text.replace(str(comparison.scratch), "SCRATCH").replace(home, "~")
        print(text)
        if options.out:
            options.out.write_text(text)
        if options.json:
            options.json.write_text(json.dumps(comparison.as_json(), indent=1))
    finally:
        comparison.cleanup()


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--cache", type=pathlib.Path, default=DEFAULT_CACHE,
                        help="where peers, data and scratch files lie")
    making = argparse.ArgumentParser(add_help=False)
    making.add_argument("--quick", action="store_true", help="small data, made locally")
    making.add_argument("--scale", type=int, default=50, help="scale of pgbench")
    making.add_argument("--transactions", type=int, default=10_000,
                        help="transactions between two dumps")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verbs.add_parser("setup", parents=[shared], help="install the peers")
    verbs.add_parser("data", parents=[shared, making], help="make the data")
    run = verbs.add_parser("run", parents=[shared, making], help="measure and report")
    run.add_argument("--sbf", type=pathlib.Path, default=DEFAULT_SBF, help="our program")
    run.add_argument("--only", help="names of tools, separated by commas")
    run.add_argument("--phases", help="of " + ",".join(PHASES) +
                     " (the tree's phases need and include `first`)")
    run.add_argument("--repeat", type=int, default=1, help="repeat all; take the lowest times")
    run.add_argument("--timeout", type=float, default=1800, help="seconds for one command")
    run.add_argument("--out", type=pathlib.Path, help="write the report to this file, too")
    run.add_argument("--json", type=pathlib.Path, help="write all figures to this file")
    run.add_argument("--keep", action="store_true", help="keep the scratch directory")
    options = parser.parse_args()
    options.cache = options.cache.expanduser().resolve()
    if options.verb == "run":
        options.only = options.only.split(",") if options.only else None
        options.phases = options.phases.split(",") if options.phases else PHASES
        for given, known in ((options.only, [k.name for k in TOOLS]), (options.phases, PHASES)):
            unknown = set(given or ()) - set(known)
            if unknown:
                parser.error(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    return options


def main() -> None:
    """Entry point."""
    options = parse()
    handlers = {"setup": command_setup, "data": command_data, "run": command_run}
    handlers[options.verb](options)


if __name__ == "__main__":
    main()
