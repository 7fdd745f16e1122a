"""The model card beside each verdict: `evidence` measures, `sections` and `findings` describe, `model_card` renders."""

from tasks.stages.reporting.model_card import read_training, write_card
from tasks.stages.reporting.sections import draw_comparisons

__all__ = ["draw_comparisons", "read_training", "write_card"]
