"""Target devices, one YAML file each: the file stem is the id, every number carries its source.

A budget is a requirement of the use, not a measurement; its derivation stands beside it. Adding a device is adding a
file with the same keys in the same order; `edgemed.targets` reads them.
"""
