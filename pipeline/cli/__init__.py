"""The command `mikudance`."""
