"""Frames from files, and preprocessing that is the same in training and on the device."""
