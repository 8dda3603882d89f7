#!/usr/bin/env python3
"""Counts what `cargo test -- --show-output` ran and skipped: test_summary.py SKIPS LOG….

A test that cannot show its claim on this machine prints a line that starts with `skip:` and why. Each such test must be
named in SKIPS, one a line, what stands after `#` being the reason. The last line printed is `N passed, N failed, N skipped`.
"""

import re
import sys


def main(skips_path, *log_paths):
    lines = []
    for path in log_paths:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines += file.read().splitlines()
    with open(skips_path, encoding="utf-8") as file:
        allowed = {line.split("#")[0].strip() for line in file} - {""}
    totals, skipped = count(lines)
    for test, reason in sorted(skipped.items()):
        print(f"skip: {test}: {reason}")
    refused = sorted(set(skipped) - allowed)
    for test in refused:
        print(f"error: {test} was skipped and is not in {skips_path}")
    if not totals["results"]:
        print("error: no test ran")
    passed = totals["passed"] - len(skipped)
    print(f"{passed} passed, {totals['failed']} failed, {len(skipped) + totals['ignored']} skipped")
    return 1 if refused or totals["failed"] or totals["ignored"] or not passed else 0


def count(lines):
    """Sums over the test programs, and why each skipped test was skipped."""
    totals = {"results": 0, "passed": 0, "failed": 0, "ignored": 0}
    skipped = {}
    test = None
    for line in lines:
        result = re.match(r"test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;", line)
        section = re.fullmatch(r"---- (\S+)(?: - .*)? stdout ----", line)
        if result:
            totals["results"] += 1
            for name, number in zip(("passed", "failed", "ignored"), result.groups()):
                totals[name] += int(number)
        if section:
            test = section[1]
        elif result or line in ("successes:", "failures:"):
            test = None
        elif line.startswith("skip:"):
            skipped.setdefault(test or "a test", line.removeprefix("skip:").strip())
    return totals, skipped


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
