"""Data for the comparison of backup tools: a real tree and real database dumps.

Three data sets are made below one directory:

* ``tree``: files copied from what a development machine holds anyway (npm
  packages, the Rust toolchain, ``/usr/share``, cargo registry sources), in a
  fixed order, up to a cap in bytes.
* ``dumps``: plain ``pg_dump``s of a private PostgreSQL cluster filled by
  ``pgbench``, with a number of transactions between two dumps.
* ``year``: plain ``pg_dump``s of a database that grows, as a year of backups
  keeps them.

``quick`` variants of the first two are made locally from a fixed seed.  Every data set
comes with a JSON description (``tree.json`` and so on), written last, so
that a data set without a description counts as unfinished.
"""

from __future__ import annotations

import glob
import json
import contextlib
import os
import pathlib
import random
import re
import shutil
import stat
import subprocess
import tempfile

# A database that has lived: fresh balances are all zero, and such a dump compresses a hundredfold.
LIVED = [
    "select setseed(0.5); update pgbench_accounts set abalance = (random() * 1000000 - 500000)::int",
    "vacuum full pgbench_accounts",
]

# A database that grows, and what happens to it in a day. Texts of rows are half words and half
# numbers that do not compress.
GROWING = """
create table accounts (id int primary key, email text, balance bigint, changed timestamptz);
create table events (id bigserial primary key, at timestamptz, account int, kind text, payload text);
create procedure add_events(day int, count int) language sql as $$
  insert into events (at, account, kind, payload)
  select '2025-01-01'::timestamptz + make_interval(days => day, secs => n * 86400.0 / count),
    (random() * 19999)::int, (array['view', 'click', 'buy', 'return'])[1 + (random() * 3)::int],
    'session ' || md5(random()::text) || ' from page ' || (random() * 500)::int
  from generate_series(0, count - 1) n $$;
create procedure live(day int) language plpgsql as $$ begin
  perform setseed(day / 1000.0);
  call add_events(day, 500);
  update accounts set balance = balance + (random() * 10000 - 5000)::int,
    changed = '2025-01-01'::timestamptz + make_interval(days => day)
  where id in (select (random() * 19999)::int from generate_series(1, 200));
end $$;
select setseed(0.5);
insert into accounts select n, 'user' || n || '@example.org', (random() * 1000000)::int, '2025-01-01'
  from generate_series(0, 19999) n;
call add_events(0, 400000);
"""
# Twelve months, then four weeks, then seven days.
YEAR_DAYS = [30 * n for n in range(12)] + [337 + 7 * n for n in range(4)] + list(range(359, 366))

NPM_PACKAGES = [
    "date-fns@4.4.0",
    "rxjs@7.8.2",
    "core-js@3.51.0",
    "aws-sdk@2.1693.0",
    "three@0.187.0",
]
TREE_CAP = 2_400_000_000
TREE_MIN_FILES = 100_000


class DataError(RuntimeError):
    """A data set could not be made."""


def describe_tree(root: pathlib.Path) -> dict:
    """Count the entries below `root` and the bytes of its regular files."""
    files = dirs = links = size = 0
    stack = [str(root)]
    while stack:
        with os.scandir(stack.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    links += 1
                elif entry.is_dir():
                    dirs += 1
                    stack.append(entry.path)
                else:
                    files += 1
                    size += entry.stat(follow_symlinks=False).st_size
    return {"files": files, "dirs": dirs, "symlinks": links, "bytes": size}


def _install_npm(work: pathlib.Path) -> pathlib.Path | None:
    """Install the pinned npm packages into `work`; None without npm."""
    if not shutil.which("npm"):
        return None
    work.mkdir(parents=True, exist_ok=True)
    (work / "package.json").write_text('{"private": true}\n')
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
    subprocess.run(
        command + ["--legacy-peer-deps", *NPM_PACKAGES],
        cwd=work, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    return work / "node_modules"


def copy_capped(source: pathlib.Path, target: pathlib.Path, budget: int) -> int:
    """Copy `source` in name order until `budget` bytes are used up.

    Symbolic links stay links, special files and unreadable ones are left out.
    A file that exceeds what is left of the budget is skipped.  Returns the
    number of bytes copied.
    """
    used = 0

    def walk(src: str, dst: str) -> None:
        nonlocal used
        os.makedirs(dst, exist_ok=True)
        for entry in sorted(os.scandir(src), key=lambda e: e.name):
            there = os.path.join(dst, entry.name)
            if used >= budget:
                break
            info = entry.stat(follow_symlinks=False)
            if stat.S_ISLNK(info.st_mode):
                os.symlink(os.readlink(entry.path), there)
            elif stat.S_ISDIR(info.st_mode):
                walk(entry.path, there)
            elif stat.S_ISREG(info.st_mode) and used + info.st_size <= budget:
                try:
                    shutil.copy2(entry.path, there, follow_symlinks=False)
                except PermissionError:
                    continue
                used += info.st_size
        shutil.copystat(src, dst)

    walk(str(source), str(target))
    return used


def make_tree(data: pathlib.Path, cap: int = TREE_CAP, log=print) -> dict:
    """Compose ``data/tree`` and return its description."""
    tree, description = data / "tree", data / "tree.json"
    if description.exists():
        return json.loads(description.read_text())
    if tree.exists():
        shutil.rmtree(tree)
    tree.mkdir(parents=True)
    npm = _install_npm(data / "npm")
    sysroot = subprocess.run(
        ["rustc", "--print", "sysroot"], capture_output=True, text=True, check=False
    ).stdout.strip()
    cargo_home = os.environ.get("CARGO_HOME") or os.path.expanduser("~/.cargo")
    candidates = [
        ("node_modules", npm, " ".join(NPM_PACKAGES)),
        ("python3", "/usr/lib/python3", "/usr/lib/python3"),
        ("toolchain", sysroot, "Rust toolchain"),
        ("share", "/usr/share", "/usr/share"),
        ("registry", os.path.join(cargo_home, "registry", "src"), "cargo registry sources"),
        ("include", "/usr/include", "/usr/include"),
        ("gcc", "/usr/lib/gcc", "/usr/lib/gcc"),
    ]
    parts = []
    left = cap
    for name, source, label in candidates:
        if not source or not os.path.isdir(source) or left <= 0:
            continue
        used = copy_capped(pathlib.Path(source), tree / name, left)
        left -= used
        parts.append({"part": name, "from": label, "bytes": used})
        log(f"  tree/{name}: {used / 1e6:.0f} MB")
    shutil.rmtree(data / "npm", ignore_errors=True)
    result = {**describe_tree(tree), "parts": parts}
    if result["files"] < TREE_MIN_FILES:
        log(f"  warning: only {result['files']} files, {TREE_MIN_FILES} were wanted")
    description.write_text(json.dumps(result, indent=1))
    return result


def _postgres_bin() -> pathlib.Path:
    """The newest directory of PostgreSQL server programs."""
    found = glob.glob("/usr/lib/postgresql/*/bin/initdb")
    found.sort(key=lambda path: int(re.search(r"postgresql/(\d+)", path)[1]))
    if found:
        return pathlib.Path(found[-1]).parent
    if shutil.which("initdb"):
        return pathlib.Path(shutil.which("initdb")).resolve().parent
    raise DataError("no PostgreSQL server found (Debian: apt-get install postgresql)")


@contextlib.contextmanager
def _private_cluster():
    """A database named bench on a cluster of its own; yields a function that runs its programs.

    The cluster listens on a UNIX socket only, runs as an unprivileged user and is stopped and
    removed afterwards.
    """
    programs = _postgres_bin()
    as_user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    home = pathlib.Path(tempfile.mkdtemp(prefix="sbf-bench-pg-", dir="/var/tmp"))
    if as_user:
        shutil.chown(home, "postgres")

    def run(program: str, *args: str, stdout=subprocess.DEVNULL) -> None:
        command = as_user + [str(programs / program), *args]
        done = subprocess.run(
            command, stdout=stdout, stderr=subprocess.PIPE, text=True, cwd=home, check=False
        )
        if done.returncode:
            raise DataError(f"{program} failed: {done.stderr.strip()[-300:]}")

    cluster, socket = str(home / "cluster"), str(home)
    options = f"-k {socket} -c listen_addresses= -c fsync=off -c max_wal_size=4GB"
    started = False
    try:
        run("initdb", "-D", cluster, "-A", "trust", "-E", "UTF8", "--no-locale")
        run("pg_ctl", "-D", cluster, "-w", "-l", str(home / "log"), "-o", options, "start")
        started = True
        run("createdb", "-h", socket, "bench")

        def client(program: str, *args: str, stdout=subprocess.DEVNULL) -> None:
            run(program, "-h", socket, *args, "bench", stdout=stdout)

        yield client
    finally:
        if started:
            run("pg_ctl", "-D", cluster, "-m", "fast", "-w", "stop")
        shutil.rmtree(home, ignore_errors=True)


def _server_version() -> str:
    """What the server says of itself."""
    command = [str(_postgres_bin() / "postgres"), "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _dump(client, path: pathlib.Path, log) -> int:
    """Dump the database as it is into a file; return its length."""
    with open(path, "wb") as file:
        client("pg_dump", stdout=file)
    size = path.stat().st_size
    log(f"  {path.parent.name}/{path.name}: {size / 1e6:.0f} MB")
    return size


def make_dumps(
    data: pathlib.Path,
    days: int = 5,
    scale: int = 50,
    transactions: int = 10_000,
    log=print,
) -> dict:
    """Make ``data/dumps/dump-N.sql`` from a private cluster; return a description."""
    dumps, description = data / "dumps", data / "dumps.json"
    if description.exists():
        return json.loads(description.read_text())
    dumps.mkdir(parents=True, exist_ok=True)
    sizes = []
    with _private_cluster() as client:
        client("pgbench", "-i", "-q", "-s", str(scale))
        for statement in LIVED:
            client("psql", "-q", "-c", statement)
        for day in range(1, days + 1):
            if day > 1:
                client("pgbench", "-c", "1", "-t", str(transactions), f"--random-seed={day}")
            sizes.append(_dump(client, dumps / f"dump-{day}.sql", log))
    result = {
        "kind": f"plain pg_dump, pgbench -i -s {scale}, random balances, {transactions} transactions a day",
        "server": _server_version(),
        "scale": scale,
        "transactions": transactions,
        "bytes": sizes,
    }
    description.write_text(json.dumps(result, indent=1))
    return result


def make_year(data: pathlib.Path, log=print) -> dict:
    """Make ``data/year/dump-NN.sql``: what a year of 12 monthly, 4 weekly, 7 daily dumps keeps.

    The database grows: each day rows of events come to its end, and one account of a hundred
    changes.
    """
    dumps, description = data / "year", data / "year.json"
    if description.exists():
        return json.loads(description.read_text())
    dumps.mkdir(parents=True, exist_ok=True)
    sizes = []
    with _private_cluster() as client:
        client("psql", "-q", "-v", "ON_ERROR_STOP=1", "-c", GROWING)
        last = 0
        for number, day in enumerate(YEAR_DAYS, 1):
            for today in range(last + 1, day + 1):
                client("psql", "-q", "-v", "ON_ERROR_STOP=1", "-c", f"call live({today})")
            last = day
            sizes.append(_dump(client, dumps / f"dump-{number:02}.sql", log))
    result = {
        "kind": "plain pg_dump of a growing database: 400 000 events and 500 more a day, "
        "20 000 accounts of which 200 change a day",
        "server": _server_version(),
        "bytes": sizes,
    }
    description.write_text(json.dumps(result, indent=1))
    return result


def make_quick_tree(data: pathlib.Path, files: int = 4000, log=print) -> dict:
    """A small tree of a fixed seed: text, random bytes, duplicates and links."""
    tree, description = data / "tree", data / "tree.json"
    if description.exists():
        return json.loads(description.read_text())
    if tree.exists():
        shutil.rmtree(tree)
    rng = random.Random(20)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 9))) for _ in range(3000)]
    last = b""
    for number in range(files):
        folder = tree / f"d{number % 37:02}" / f"e{number % 11:02}"
        folder.mkdir(parents=True, exist_ok=True)
        size = min(int(rng.lognormvariate(8.2, 1.5)), 2_000_000)
        if number % 20 == 0 and last:
            content = last
        elif number % 8 == 0:
            content = rng.randbytes(size)
        else:
            content = " ".join(rng.choices(words, k=size // 6 + 1)).encode()
        last = content
        (folder / f"f{number}").write_bytes(content)
        if number % 50 == 0:
            (folder / f"l{number}").symlink_to(f"f{number}")
    result = {**describe_tree(tree), "parts": [{"part": "synthetic"}]}
    log(f"  tree: {result['files']} files, {result['bytes'] / 1e6:.0f} MB")
    description.write_text(json.dumps(result, indent=1))
    return result


def make_quick_dumps(data: pathlib.Path, days: int = 5, rows: int = 80_000, log=print) -> dict:
    """Small dumps of a fixed seed, in the form of a plain ``pg_dump``."""
    dumps, description = data / "dumps", data / "dumps.json"
    if description.exists():
        return json.loads(description.read_text())
    dumps.mkdir(parents=True, exist_ok=True)
    rng = random.Random(21)
    table = [f"{n}\t{rng.randint(1, 50)}\t{rng.randbytes(40).hex()}" for n in range(rows)]
    sizes = []
    for day in range(1, days + 1):
        if day > 1:
            for number in rng.sample(range(rows * 9 // 10, rows), rows // 200):
                table[number] = f"{number}\t{rng.randint(1, 50)}\t{rng.randbytes(40).hex()}"
            table.extend(f"{len(table)}\t0\t{rng.randbytes(40).hex()}" for _ in range(200))
        path = dumps / f"dump-{day}.sql"
        path.write_text("COPY accounts FROM stdin;\n" + "\n".join(table) + "\n\\.\n")
        sizes.append(path.stat().st_size)
    log(f"  dumps: {days} of about {sizes[0] / 1e6:.0f} MB")
    result = {"kind": "synthetic rows in the form of a plain pg_dump", "bytes": sizes}
    description.write_text(json.dumps(result, indent=1))
    return result
