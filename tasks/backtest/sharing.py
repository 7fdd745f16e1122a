"""Policies that read, check and build the same share what the first of them made: the jobs find it and compute nothing."""

from __future__ import annotations

from datetime import datetime

from tasks import columns as c
from tasks.io.storage import Storage
from tasks.use_case import UseCase

# What a use case says of things that happen after its examples are made. Any other difference ends the sharing.
AFTERWARDS = {
    "title",
    "description",
    "owner",
    "candidates",
    "recommend",
    "metrics",
    "gates",
    "review",
    "bake",
    "registry",
    "drift",
}
SHARED = (c.RAW, c.VALIDATED, c.QUARANTINE, c.FEATURES, c.EXAMPLES)


def makes_the_same(one: UseCase, other: UseCase) -> bool:
    """Whether two use cases make the same snapshots out of the same files, before anything is trained."""
    names = set(UseCase.model_fields) - AFTERWARDS
    return all(getattr(one, name) == getattr(other, name) for name in names)


def adopt_until(name: str, storage: Storage, donor: Storage, moment: datetime) -> None:
    """Take over every snapshot that became current at the donor before a moment, and none that came later."""
    for layer in SHARED:
        for partition in donor.partitions(name, layer):
            mine = len(storage.current_versions(name, layer, partition))
            for made in donor.current_versions(name, layer, partition)[mine:]:
                if made.since is not None and made.since < moment:
                    storage.adopt(donor.version(name, layer, partition, made.version), donor, made)
