"""Every mutation that the pipeline must stop, with the one guard that is to stop it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from tests.proof import data_mutations, promotion_mutations
from tests.proof.proof import Arena, Mutation
from tests.tasks.stages.evaluation.mutations import SHOP, WARD
from tests.tasks.stages.evaluation.synthetic_pipelines import knows


def _honest_ward(place: Arena) -> object:
    return replace(place.ward, asks_endpoint=True).judge()


def _honest_shop(place: Arena) -> object:
    return replace(place.shop, asks_endpoint=True).judge(knows(0.8), "honest")


def _in_the_ward(name: str, place: Arena) -> object:
    gate, spoil = WARD[name]
    return spoil(replace(place.ward, asks_endpoint=gate == "serving_budget"))


def _in_the_shop(name: str, place: Arena) -> object:
    return SHOP[name][1](place.shop)


MUTATIONS: tuple[Mutation, ...] = (
    *data_mutations.MUTATIONS,
    *(Mutation(name, f"judge/{gate}", partial(_in_the_ward, name), _honest_ward) for name, (gate, _) in WARD.items()),
    *(Mutation(name, f"judge/{gate}", partial(_in_the_shop, name), _honest_shop) for name, (gate, _) in SHOP.items()),
    *promotion_mutations.MUTATIONS,
)
