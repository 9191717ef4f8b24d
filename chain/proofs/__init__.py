"""Proofs that a block's receipts are the ones its hash commits to. Pure but for ``fetch``."""
