"""End-to-end encryption, the server's part: keys, signatures, messages between devices, key backups."""
