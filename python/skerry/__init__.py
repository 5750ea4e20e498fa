"""Models of a skerry-infer from Python: arrays in, arrays out, over its Unix socket or HTTP."""

from skerry.inference import Inference, InferenceError

__all__ = ["Inference", "InferenceError"]
