"""`make bench`: what handling costs, receivers side by side, and Meta's line; writes docs/benchmarks.md.

With --quick it is short, and prints the report instead.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
sys.path.insert(0, str(HERE / "peers"))

import contenders as peers  # noqa: E402 - from the folder beside
import report  # noqa: E402 - likewise
import rounds  # noqa: E402 - likewise

OTHERS = {
    "Handling an event": "bench_handling.py",
    "Working off a backlog": "bench_drain.py",
    "Working over Postgres and Supabase": "bench_stores.py",
}
"""Other benchmarks, by what they are about; those that are here are run too."""

DRAINED = {False: 200_000, True: 5000}
"""How many deliveries a full and a quick run have worked off."""


def others(environment):
    """What the other benchmarks print, and whether all of them passed."""
    told, passed = {}, True
    for title, name in OTHERS.items():
        if not (HERE / name).exists():
            continue
        print(f"\n{title}", flush=True)
        done = subprocess.run(
            [sys.executable, str(HERE / name)], env=environment, stdout=subprocess.PIPE, text=True, check=False
        )
        print(done.stdout, end="", flush=True)
        told[title], passed = done.stdout, passed and done.returncode == 0
    return told, passed


def line(seconds):
    """What `wa-hooks bench` says."""
    command = [sys.executable, "-m", "wa_hooks_cli", "bench", "--json", "--seconds", str(seconds)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode not in (0, 3):
        raise SystemExit("wa-hooks bench failed")
    return [json.loads(told) for told in done.stdout.splitlines()]


def compared(plan):
    """Receivers side by side."""
    measured = peers.contenders()
    found, bare = {}, None
    for count in report.CONNECTIONS:
        print(
            f"\n{count} connection{'s' * (count > 1)}: {plan.rounds} rounds of {len(measured)} receivers", flush=True
        )
        found[count], alone = rounds.side_by_side(measured, count, plan)
        bare = alone if count == 1 else bare
        for each, series in zip(measured, found[count], strict=True):
            figures = f"{series.median('per_second'):>9,.0f}/s  p99 {series.median('p99'):8.2f} ms"
            figures += f"  CPU {series.median('cpu'):4.0f} µs"
            print(f"  {each.name:<32}{each.does:<18}{figures}", flush=True)
    print("\nwhile it processes", flush=True)
    beside = [peers.wa_hooks(workers=1), peers.FASTAPI, peers.FASTAPI_COMMITS, peers.PYWA, peers.PYWA_ASYNC]
    series = rounds.with_processing(beside, 64, plan)
    return measured, found, bare, list(zip(beside, series, strict=True))


def cpu_seconds():
    """CPU time that the machine has given away so far, and the part of it that we and our processes had."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return None
    user, nice, system, _idle, _waiting, *more = map(int, stat.read_text().split("\n", 1)[0].split()[1:9])
    ours = sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return (user + nice + system + sum(more)) / os.sysconf("SC_CLK_TCK"), ours


def used_by_others(before, after, seconds):
    """The part of the machine that other programs used meanwhile; None where the system does not tell."""
    if not before or not after:
        return None
    everybody, ours = (now - then for now, then in zip(after, before, strict=True))
    return max(0.0, everybody - ours) / seconds / (os.cpu_count() or 1)


def main() -> int:
    quick = "--quick" in sys.argv
    plan = rounds.QUICK if quick else rounds.FULL
    peers.install()
    began, before = time.monotonic(), cpu_seconds()
    told, passed = others({**os.environ, "WA_HOOKS_BENCH_DRAIN": str(DRAINED[quick])})
    measured, found, bare, processing = compared(plan)
    print("\nMeta's line", flush=True)
    met = line(plan.line_seconds)
    others_share = used_by_others(before, cpu_seconds(), time.monotonic() - began)
    run = report.Run(plan, measured, found, bare, processing, met, told, others_share)
    text = report.written(run)
    if quick:
        print(f"\n{text}")
    else:
        (ROOT / "docs" / "benchmarks.md").write_text(text)
        print("\nwritten to docs/benchmarks.md")
    for each in run.criteria():
        print(f"{'PASS' if each.met else 'FAIL'}: {each.told}: {each.figure:.2f}{each.unit}; {each.limit:g} promised")
    passed = passed and all(each.met for each in run.criteria()) and all(each["verdict"] == "PASS" for each in met)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
