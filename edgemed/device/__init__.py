"""On the device: the store that holds its bundles, and how a new one comes in without ever leaving it without one."""
