"""What a device keeps and how a bundle gets onto it: store, install, health check, transports, fleets."""
