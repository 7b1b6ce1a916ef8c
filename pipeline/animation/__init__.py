"""What an animation needs before and after the network: driving signals, the reference picture, the file written."""
