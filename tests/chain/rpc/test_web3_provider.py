"""web3 contracts over the pool, against Anvil."""

from __future__ import annotations

import pytest
from eth_typing import ChecksumAddress, HexAddress, HexStr
from web3.exceptions import ContractLogicError

from chain.client import ChainClient
from chain.rpc.errors import MethodNotSupported
from chain.web3_provider import web3_over
from config.units import checksum
from tests.chain.rpc.test_client_on_anvil import ALICE, deploy_logger

# The test contract ignores selectors: its words 0 and 1 start at calldata byte 0, so the four
# selector bytes shift the arguments; ``amount`` is nonzero for any second argument but 0.
ABI = [
    {
        "type": "function",
        "name": "poke",
        "stateMutability": "view",
        "inputs": [{"name": "a", "type": "uint256"}, {"name": "b", "type": "uint256"}],
        "outputs": [{"name": "", "type": "uint256"}],
    }
]


async def test_contract_call__over_the_pool__answers_and_reverts(client: ChainClient) -> None:
    logger = await deploy_logger(client)
    web3 = web3_over(client)
    assert await web3.is_connected()
    assert await web3.eth.chain_id == 31337
    contract = web3.eth.contract(
        address=ChecksumAddress(HexAddress(HexStr(checksum(logger)))), abi=ABI
    )
    # Word 1 of calldata is the last 4 bytes of ``a`` and the first 28 of ``b``.
    assert await contract.functions.poke(1, 0).call() == 1 << 224
    with pytest.raises(ContractLogicError):
        await contract.functions.poke(0, 0).call()
    block = await web3.eth.get_block("latest")
    assert block["number"] == 1


async def test_send__through_web3__refused(client: ChainClient) -> None:
    web3 = web3_over(client)
    with pytest.raises(MethodNotSupported):
        await web3.eth.send_raw_transaction(b"\x02")
    with pytest.raises(MethodNotSupported):
        await web3.eth.send_transaction({"to": checksum(ALICE)})
