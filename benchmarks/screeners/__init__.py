"""What people screen with, each a program of its own over the same picture and model; see `screening_peers`."""
