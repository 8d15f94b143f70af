"""ONNX files as the hub: messages ↔ graphs, with functions inlined and operators held against their declarations."""
