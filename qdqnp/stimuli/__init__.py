"""Inputs worth testing with: for one layer by construction, for a whole network by search; each with what it covers.

found = qdqnp.stimuli.for_layer(qdqnp.load("net.onnx"), "conv1", "tflite", against=("tflite", "tflite-single"))
"""

from qdqnp.stimuli.layer import for_layer
from qdqnp.stimuli.network import for_network
from qdqnp.stimuli.result import Stimulus, StimulusSet
from qdqnp.stimuli.write import write

__all__ = ["Stimulus", "StimulusSet", "for_layer", "for_network", "write"]
