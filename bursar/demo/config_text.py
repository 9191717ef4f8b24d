"""The ``bursar.toml`` of the demo's daemon. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from bursar.demo.story import COINS, CONFIRMATIONS, FEE_BPS
from config.units import Address, checksum

CHAIN: Final = "anvil"

_TEMPLATE: Final = """\
# Written by "bursar demo".
[database]
url = "sqlite+aiosqlite:///{folder}/bursar.db"

[http]
host = "127.0.0.1"
port = {port}
public_url = "http://127.0.0.1:{port}"

[wallets]
signer = "mnemonic"

[[chains]]
name = "{chain}"
chain_id = {chain_id}
rpc_urls = ["{rpc_url}"]
poll_interval = "250ms"
block_time = "1s"
finality = {{ confirmations = {confirmations} }}
start_block = 0
{tokens}
[settlement]
schedule = "0 0 1 1 *"       # never by itself during a demo: it settles when told to
minimum_payout = "1.00"
fee_bps = {fee_bps}

[security]
destination_cooling_off = "0s"
allow_private_webhooks = true

[log]
format = "json"
"""
_COIN: Final = """
[[chains.tokens]]
symbol = "{symbol}"
address = "{address}"
decimals = {decimals}
currency = "USD"
"""


def config_text(
    folder: Path, *, port: int, chain_id: int, rpc_url: str, tokens: Mapping[str, Address]
) -> str:
    """The whole file.

    :param tokens: contract of each of the demo's coins, by symbol.
    """
    return _TEMPLATE.format(
        folder=folder.as_posix(),
        port=port,
        chain=CHAIN,
        chain_id=chain_id,
        rpc_url=rpc_url,
        confirmations=CONFIRMATIONS,
        fee_bps=FEE_BPS,
        tokens="".join(
            _COIN.format(
                symbol=coin.symbol, address=checksum(tokens[coin.symbol]), decimals=coin.decimals
            )
            for coin in COINS
        ),
    )
