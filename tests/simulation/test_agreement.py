"""Servers that have the same events have the same state, whatever became of the messages between them.

A few histories in every run. HEARTH_SIMULATIONS=5000 plays so many (scripts/simulate), HEARTH_SIMULATION_SEED begins at
a seed; what fails is made smaller and shown.
"""

import os
from pathlib import Path

from tests.simulation.histories import History, Step, history_of, shrink
from tests.simulation.world import Disagreement, World, seeds
from tests.support.database import TestServer
from tests.support.federation import Network

COUNT = int(os.environ.get("HEARTH_SIMULATIONS", "6"))
FIRST = int(os.environ.get("HEARTH_SIMULATION_SEED", "0"))


async def test_servers_agree(postgres: TestServer, tmp_path: Path) -> None:
    network = Network(postgres, tmp_path)
    try:
        world = await World(network).start()
        for seed in seeds(COUNT, FIRST):
            await check(world, history_of(seed), f"seed {seed}")
    finally:
        await network.close()


async def check(world: World, history: History, name: str) -> None:
    try:
        await world.play(history)
    except Disagreement as error:
        if "HEARTH_SIMULATION_SHRINK" in os.environ:
            history = await shrink(history, lambda smaller: fails(world, smaller))
        raise Disagreement(f"{name}, version {history.version}: {error}\n{show(history.steps)}") from error


async def fails(world: World, history: History) -> bool:
    try:
        await world.play(history)
    except Disagreement:
        return True
    return False


def show(steps: tuple[Step, ...]) -> str:
    return "\n".join(map(str, steps))
