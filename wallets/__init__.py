"""The keys: derivation, keystore, signers; knows nothing of who is paid, and why."""
