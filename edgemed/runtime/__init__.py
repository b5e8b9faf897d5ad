"""From a frame to a screening result on the device: inference, decision, evidence map."""
