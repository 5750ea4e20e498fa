"""Models of a skerry-infer from Python: arrays in, arrays out, over its Unix socket or HTTP, or through shared memory."""

from skerry.inference import Inference, InferenceError
from skerry.ring import Ring

__all__ = ["Inference", "InferenceError", "Ring"]
