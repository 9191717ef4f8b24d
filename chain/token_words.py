"""What a token says of itself, which is only as good as its contract."""

from __future__ import annotations

from contextlib import suppress

from chain.client import ChainClient
from chain.erc20 import decode_symbol, encode_decimals, encode_symbol
from chain.model import TxRequest
from chain.rpc.errors import BadReply
from config.units import Address, to_hex


async def token_decimals(client: ChainClient, token: Address) -> int:
    """:raises BadReply: the contract has no ``decimals()`` that fits 0 … 255."""
    word = await client.call(TxRequest(None, token, encode_decimals()))
    number = int.from_bytes(word, "big")
    if len(word) != 32 or number > 255:
        raise BadReply(f"decimals() of {to_hex(token)} is not a small number", where=client.name)
    return number


async def token_symbol(client: ChainClient, token: Address) -> str:
    """Text of ``symbol()``; ``bytes32`` of old tokens is understood, nonsense is ``""``."""
    answer = await client.call(TxRequest(None, token, encode_symbol()))
    with suppress(ValueError):
        return decode_symbol(answer)
    return ""
