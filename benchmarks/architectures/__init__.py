"""The stages of ``qat_architectures.py``: networks, their float training, and their conversion, each in a process."""
