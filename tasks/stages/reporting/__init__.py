"""The model card, one HTML page beside each verdict: `evidence` measures, `sections` and `findings` say, `pictures` draw."""

from tasks.stages.reporting.evidence import read_training, write_card

__all__ = ["read_training", "write_card"]
