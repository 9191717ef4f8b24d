"""Two nodes of different make, and a client for either."""

from __future__ import annotations

from tests.chain.rpc.conftest import make_client, session
from tests.support.hardhat import hardhat, hardhat_rpc

__all__ = ["hardhat", "hardhat_rpc", "make_client", "session"]
