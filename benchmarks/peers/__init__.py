"""The stages of ``quantization_peers.py``: each a process of its own: the peers' environments clash.

Stages exchange plain files in a work folder (`peers.exchange`). Modules that run in a peer's environment import NumPy,
that peer and nothing of edgemed.
"""
