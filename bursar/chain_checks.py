"""Whether a chain is the one that is configured, and its tokens what they are said to be.

``bursar run`` refuses to start on a definite disagreement: another chain id, no
code where a token should be, other decimals. A provider that does not answer
is no disagreement: the daemon starts, is not ready, and checks again until it
knows. ``bursar doctor`` and ``contracts deploy`` use the same checks.
"""

from __future__ import annotations

from chain.client import ChainClient
from chain.rpc.errors import BadReply, CallReverted
from chain.token_words import token_decimals
from config.catalogue import Token
from config.chains import ChainSettings
from config.errors import ConfigError
from config.units import checksum


async def check_chain_id(chain: ChainSettings, client: ChainClient) -> None:
    """:raises ConfigError: a provider serves another chain; :raises RpcError: nobody answers."""
    found = await client.remote_chain_id()
    if found != chain.chain_id:
        raise ConfigError(
            f"the provider serves chain id {found}, not {chain.chain_id}",
            where=f"chain {chain.name}",
            remedy="correct rpc_urls or chain_id",
        )


async def check_token(token: Token, client: ChainClient) -> None:
    """:raises ConfigError: no contract, or other decimals; :raises RpcError: nobody answers."""
    where = f"chain {token.chain}: token {token.symbol} ({checksum(token.address)})"
    if not await client.code(token.address):
        raise ConfigError("no contract is at this address", where=where, remedy="correct address")
    try:
        found = await token_decimals(client, token.address)
    except (CallReverted, BadReply):
        raise ConfigError(
            "the contract has no decimals()", where=where, remedy="it is no ERC-20: correct address"
        ) from None
    if found != token.decimals:
        raise ConfigError(
            f"decimals() is {found} on chain, {token.decimals} in the configuration",
            where=where,
            remedy=f"set decimals = {found} if this is the token that you mean",
        )


async def check_chain(chain: ChainSettings, tokens: tuple[Token, ...], client: ChainClient) -> None:
    """Everything that must hold before a chain's tasks may act.

    :raises ConfigError: it does not.
    :raises RpcError: it cannot be known now.
    """
    await check_chain_id(chain, client)
    for token in tokens:
        await check_token(token, client)
