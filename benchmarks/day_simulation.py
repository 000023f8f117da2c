"""A day of a fleet as discrete events: pictures arrive, are ingested, fitted in batches and committed.

    python -m benchmarks.day_simulation [--images 1000000] [--workers 2,4,8,16] [--fit 0.3] [--json]

Simulated is the order of things and nothing of their cost: seconds a fit, a commit, a look-up and a task run are
given, measured by `benchmarks.scaling` and `benchmarks.dask_scaling`, and each has its spread. The model:

- pictures arrive at random, more by day than by night;
- every so many minutes one run ingests what has come, at a rate of its own, and then encodes until nothing is missing:
  what comes meanwhile waits for the next run, which starts at the next tick after that one's end;
- batches go to the first free worker, no more are out than the flow keeps out;
- the flow's process does one thing after another: it looks up what is missing a round at a time, takes a batch's
  result, and commits it;
- nothing breaks.
"""

import argparse
import heapq
import json
import math
from dataclasses import asdict, dataclass

import numpy as np
import numpy.typing as npt

from tasks.batches import BATCHES_A_WORKER, batch_size
from tasks.encode import ROUND

_DAY = 86_400.0


@dataclass(frozen=True)
class Costs:
    """What things cost.

    Attributes:
        fit: seconds an image on one worker.
        spread: standard deviation of a batch's fit to its mean.
        on_worker: seconds a batch beside its fit, on the worker.
        in_flow: seconds a batch of the flow's process: submitting, states of two task runs, the result.
        commit: seconds of the flow's process.
        look_up: seconds of a round, with as many images in the store as come in a day.
        start: seconds of a run before its first batch.
        ingest: images a second.
    """

    fit: float = 0.3
    spread: float = 0.15
    on_worker: float = 0.3
    in_flow: float = 0.15
    commit: float = 0.08
    look_up: float = 2.0
    start: float = 8.0
    ingest: float = 300.0


@dataclass(frozen=True)
class Day:
    """What came of a day.

    Attributes:
        workers: that were there.
        committed: images, by the end of the last run.
        left: images that waited at midnight.
        runs: that encoded something.
        longest_queue: images that waited at once, ingested or not.
        median, late, latest: minutes from a picture's arrival to its commit: half, 95 % and all take no longer.
        workers_busy, flow_busy: shares of the day.
        commits_a_minute: in the mean over a whole day.
    """

    workers: int
    committed: int
    left: int
    runs: int
    longest_queue: int
    median: float
    late: float
    latest: float
    workers_busy: float
    flow_busy: float
    commits_a_minute: float


def arrivals(images: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Seconds of the day at which pictures come, sorted: nine times as many at 14 o'clock as at 2."""
    grid = np.linspace(0, _DAY, 1441)
    rate = 1 + 0.8 * np.sin((grid - 8 * 3600) / _DAY * 2 * math.pi)
    share = np.concatenate([[0], np.cumsum((rate[1:] + rate[:-1]) / 2)])
    return np.interp(np.sort(rng.random(images)), share / share[-1], grid)


def simulate(images: int, workers: int, costs: Costs, minutes: float, seed: int = 1) -> Day:
    """One day, and what of it was left after that."""
    rng = np.random.default_rng(seed)
    arrived = arrivals(images, rng)
    committed = np.zeros(images)
    free = [0.0] * workers
    worker_seconds = flow_seconds = 0.0
    done = runs = commits = 0
    now = 0.0
    longest = 0
    while done < images:
        now = max(now, math.ceil((arrived[done] + 1e-9) / (60 * minutes)) * 60 * minutes)
        there = int(np.searchsorted(arrived, now, side="right"))
        longest = max(longest, there - done)
        now += (there - done) / costs.ingest + costs.start
        runs += 1
        free = [now] * workers
        out: list[tuple[float, int, int]] = []  # when it is done, and the first and last image
        taken = done
        round_end = done
        while taken < there or out:
            while taken < there and len(out) < BATCHES_A_WORKER * workers:
                if taken == round_end:
                    round_end = min(there, taken + ROUND)
                    now += costs.look_up
                    flow_seconds += costs.look_up
                ahead = there - taken
                size = min(batch_size(min(ahead, ROUND) if ahead < ROUND else 10**9, workers), round_end - taken)
                now += costs.in_flow
                flow_seconds += costs.in_flow
                fit = size * costs.fit * max(0.2, rng.normal(1, costs.spread)) + costs.on_worker
                start = max(now, heapq.heappop(free))
                heapq.heappush(free, start + fit)
                heapq.heappush(out, (start + fit, taken, taken + size))
                worker_seconds += fit
                taken += size
            back, first, last = heapq.heappop(out)
            now = max(now, back) + costs.commit
            flow_seconds += costs.commit
            commits += 1
            committed[first:last] = now
            longest = max(longest, int(np.searchsorted(arrived, now, side="right")) - last)
        done = there
    waited = (committed - arrived) / 60
    return Day(
        workers=workers,
        committed=images,
        left=int(np.count_nonzero(committed > _DAY)),
        runs=runs,
        longest_queue=longest,
        median=round(float(np.median(waited)), 1),
        late=round(float(np.quantile(waited, 0.95)), 1),
        latest=round(float(waited.max()), 1),
        workers_busy=round(worker_seconds / workers / max(_DAY, now), 3),
        flow_busy=round(flow_seconds / max(_DAY, now), 3),
        commits_a_minute=round(commits / max(_DAY, now) * 60, 1),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1_000_000, help="a day (default 1,000,000)")
    parser.add_argument("--workers", default="2,4,8,16,32", help="numbers to try (default 2,4,8,16,32)")
    parser.add_argument("--minutes", type=float, default=15, help="between runs (default 15)")
    for name, value in asdict(Costs()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=float, default=value, help=f"default {value}")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    options = parser.parse_args()
    costs = Costs(**{name: getattr(options, name) for name in asdict(Costs())})
    days = [simulate(options.images, int(w), costs, options.minutes) for w in options.workers.split(",")]
    if options.json:
        print(json.dumps({"costs": asdict(costs), "days": [asdict(day) for day in days]}))
        return
    print(f"{options.images:,} images a day, a run every {options.minutes:g} minutes, {costs}\n")
    print("| workers | left at midnight | longest queue | minutes: median | 95 % | all ", end="")
    print("| workers busy | flow busy | commits a minute |\n|---:|---:|---:|---:|---:|---:|---:|---:|---:|")
    for day in days:
        print(
            f"| {day.workers} | {day.left:,} | {day.longest_queue:,} | {day.median:,} | {day.late:,} | {day.latest:,} "
            f"| {day.workers_busy:.0%} | {day.flow_busy:.0%} | {day.commits_a_minute} |"
        )


if __name__ == "__main__":
    main()
