"""Run simulations from the command line: many seeds for a look around, or one that failed, with its story."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor

import click

from tests.simulation.options import Options
from tests.simulation.runner import Report, simulate


@click.command()
@click.option("--seeds", default=20, show_default=True, help="How many seeds, from --first on.")
@click.option("--first", default=0, show_default=True, help="The first seed.")
@click.option("--seed", type=int, help="Only this one, with a long story when it fails.")
@click.option("--days", default=2.0, show_default=True, help="Simulated days of each, before peace.")
@click.option("--forward/--no-forward", default=True, help="Set the wall clock forward, too.")
@click.option("--tail", default=60, show_default=True, help="Events of a failing seed to show.")
@click.option("--jobs", default=os.cpu_count() or 1, show_default=True, help="Processes.")
def main(seeds: int, first: int, seed: int | None, days: float, forward: bool, tail: int, jobs: int) -> None:
    """Simulate, and end with 1 when an invariant did not hold."""
    wanted = [seed] if seed is not None else range(first, first + seeds)
    asked = [Options(number, days, forward=forward, tail=tail) for number in wanted]
    failed: list[Report] = []
    simulated = cost = 0.0
    with ProcessPoolExecutor(min(jobs, len(asked))) as pool:
        for report in pool.map(simulate, asked):
            simulated += report.days
            cost += report.cost
            click.echo(report.line)
            if report.violation is not None:
                failed.append(report)
    for report in failed[:3]:
        click.echo(f"\nseed {report.options.seed}\n{report.story}")
    pace = 60 * simulated / cost
    click.echo(f"{simulated:.1f} days in {cost:.0f} s of CPU: {pace:.0f} days per minute of one core")
    if failed:
        click.echo(f"failed: {', '.join(str(report.options.seed) for report in failed)}")
        raise SystemExit(1)


if __name__ == "__main__":
    main()
