"""The harness: private httpds, clients that see every byte, and a watcher of the error log."""
