"""Customer segments: K-means on log recency, order count and net amount, named and ordered."""

from ml.segmentation.model import SKOPS_TRUSTED_TYPES, SegmentModel
from ml.segmentation.train import train_segments

__all__ = ["SKOPS_TRUSTED_TYPES", "SegmentModel", "train_segments"]
