"""What a device remembers of its work: results, and an audit log in which a change shows."""
