"""Gas of batches and sweeps against the floor and against separate transactions, on one Anvil.

USDC stands behind a proxy, as it does on every chain: its first call in a transaction reads
two slots and another account's code (6,800 gas), each further one what is warm by then. USDT
reads what Tether's contract on Ethereum reads. Both are test tokens; Circle's and Tether's
own code takes a little more, in both columns.

floor = 21,000 + call data + what the token itself used (traced) + 100 for each call of it

Anvil understates a transaction that delegates accounts for the first time: it refunds
12,500 for every authorization, though EIP-7702 does so only for accounts that exist, and a
deposit address that holds nothing but tokens does not. Refunds end at a fifth of the gas
spent (EIP-3529), and with a hundred authorizations they are always beyond that. So::

    spent = 5/4 × what Anvil's receipt says
    gas   = spent − the refunds that are due: 4,800 for each balance that became zero

``spent`` is checked against the gas limit that the same transaction needs (``eth_estimateGas``),
which refunds do not lower.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

from eth_account import Account
from eth_account.signers.local import LocalAccount
from eth_utils.crypto import keccak

from benchmarks.context import Context
from benchmarks.figures import Figure, at_most
from chain.anvil import Anvil, AnvilOptions, DevRpc
from chain.deposit_factory import encode_creating_sweep
from chain.helper_contracts import encode_sweep
from chain.model import Receipt
from config.units import Address, checksum, to_hex
from tests.chain.contracts.world import World, build_world, packed, recipient
from tests.support.dev_chain import DevChain, address_of
from wallets.create2 import CloneDeriver

COUNT: Final = 100
MERCHANTS: Final = 20
CLEARED: Final = 4_800
"""Refund for a storage slot that became zero (EIP-3529)."""
_TOKENS: Final[dict[str, tuple[str, tuple[str, ...], bool]]] = {
    "USDC-like": ("UsdcLike", ("USD Coin", "USDC"), True),
    "USDT-like": ("UsdtLike", (), False),
}
_ADMIN_SLOT: Final = keccak(text="org.zeppelinos.proxy.admin")
_CODE_SLOT: Final = keccak(text="org.zeppelinos.proxy.implementation")
_AMOUNT: Final = 5_000_000
_TOP_UP: Final = 10**18


def measure(context: Context) -> list[Figure]:
    """Every ratio within one run, on a fresh chain for each token."""
    figures: list[Figure] = []
    for name in _TOKENS:
        context.tell(name)
        figures += asyncio.run(_of_token(name))
    return figures


async def _of_token(name: str) -> list[Figure]:
    contract, arguments, proxied = _TOKENS[name]
    async with Anvil(AnvilOptions()) as anvil, DevRpc(anvil.rpc_url) as rpc:
        world = await build_world(DevChain(rpc), factory=True)
        token = await world.chain.create(world.payer, contract, *arguments)
        if proxied:
            made = await world.chain.must(world.payer, None, proxy_of(token))
            assert made.contract_address is not None
            token = made.contract_address
        await world.mint(token, world.helpers.treasury, 10**30)
        await world.mint(token, address_of(world.payer), 10**18)
        # The bitmap's word is in use: the first batch of every 256 pays 17,100 more.
        await world.pay(token, [(recipient(10_000), 1)], batch_id=0)
        batches = [
            figure
            for batch_id, holds in ((1, False), (2, True))
            for figure in await _batch(world, name, token, batch_id, holds=holds)
        ]
        return [*batches, *await _sweeps(world, name, token)]


async def _batch(
    world: World, name: str, token: Address, batch_id: int, *, holds: bool
) -> list[Figure]:
    """A hundred payouts; the second time the same recipients hold something already."""
    items = [(recipient(n), 1_234_567 + n) for n in range(COUNT)]
    data = world.signed_batch(token, items, batch_id=batch_id)
    executed, _, receipt = await world.pay(token, items, batch_id=batch_id)
    assert executed.failed_count == 0
    frames = await token_frames(world, receipt, token)
    assert len(frames) == COUNT
    floor = (21_000 + calldata_gas(data) + sum(frames) + 100 * COUNT) / COUNT
    each = receipt.gas_used / COUNT
    fresh = recipient(20_000 + batch_id)
    if holds:
        await world.mint(token, fresh, 1)
    alone = await world.run(token, "transfer(address,uint256)", fresh, 1_234_567, by=world.payer)
    separate = float(alone.gas_used)
    who = "who hold some" if holds else "who hold none"
    return [
        Figure(
            f"payout to recipients {who}, batch of {COUNT}, {name}", each, "gas",
            "floor", floor, each / floor, at_most(1.04, "ratio"),
        ),
        Figure(
            f"payout to recipients {who}, batch of {COUNT}, {name}", each, "gas",
            "separate transfer", separate, each / separate,
            at_most(0.27 if holds else 0.51, "ratio"),
        ),
    ]  # fmt: skip


async def _sweeps(world: World, name: str, token: Address) -> list[Figure]:
    """A hundred deposit addresses: swept first, swept again, and by two transactions each."""
    old_way = await _top_up_and_transfer(world, token, 3)
    alone = await world.run(
        token, "transfer(address,uint256)", recipient(20_002), 1_234_567, by=world.payer
    )
    accounts = [Account.from_key((n + 1_000).to_bytes(32)) for n in range(COUNT)]
    first = await _swept(world, token, accounts, first=True)
    again = await _swept(world, token, accounts, first=False)
    items = [(recipient(n), 1_234_567 + n) for n in range(MERCHANTS)]
    _, _, paid = await world.pay(token, items, batch_id=3)
    separate = COUNT * old_way + MERCHANTS * alone.gas_used
    figures = []
    for what, gas, most, together in (
        ("first", first, 0.55, 0.50),
        ("repeat", again, 0.21, 0.20),
    ):
        both = gas + paid.gas_used
        figures += [
            Figure(
                f"{what} sweep of {COUNT} addresses, {name}", gas / COUNT, "gas",
                "top-up and transfer", old_way, gas / COUNT / old_way, at_most(most, "ratio"),
            ),
            Figure(
                f"{COUNT} deposits to {MERCHANTS} merchants, {what} sweep and payout, {name}",
                both, "gas", "separate transactions", separate, both / separate,
                at_most(together, "ratio"),
            ),
        ]  # fmt: skip
    return figures + await _keyless(world, name, token, old_way)


async def _keyless(world: World, name: str, token: Address, old_way: float) -> list[Figure]:
    """The same with addresses that have no keys: created and swept in one transaction, then
    swept again. No authorization is in it, so Anvil's receipts need no correction."""
    helpers = world.helpers
    deriver = CloneDeriver(helpers.factory, helpers.forwarder)
    items = [(deriver.address(n), _AMOUNT + n) for n in range(COUNT)]
    figures = []
    for what, indexes, most in (("first", range(COUNT), 0.90), ("repeat", range(0), 0.21)):
        for account, amount in items:
            await world.mint(token, account, amount)
        data = encode_creating_sweep(token, helpers.factory, indexes, packed(items))
        receipt = await world.chain.must(world.sweeper, helpers.collector, data)
        assert [await world.held(token, account) for account, _ in items] == [0] * COUNT
        each = receipt.gas_used / COUNT
        figures.append(
            Figure(
                f"{what} sweep of {COUNT} addresses without keys, {name}", each, "gas",
                "top-up and transfer", old_way, each / old_way, at_most(most, "ratio"),
            )
        )  # fmt: skip
    return figures


async def _top_up_and_transfer(world: World, token: Address, samples: int) -> float:
    """What gateways without batches do: gas money to the address, then its own transfer."""
    gas = 0
    for number in range(samples):
        account = Account.from_key((n := 5_000 + number).to_bytes(32))
        await world.mint(token, address_of(account), _AMOUNT + n)
        up = await world.chain.must(world.payer, address_of(account), value=_TOP_UP)
        moved = await world.run(
            token, "transfer(address,uint256)", world.helpers.treasury, _AMOUNT + n, by=account
        )
        gas += up.gas_used + moved.gas_used
    return gas / samples


async def _swept(
    world: World, token: Address, accounts: Sequence[LocalAccount], *, first: bool
) -> int:
    """Gas of one sweep that empties every account."""
    items = [(address_of(account), _AMOUNT + n) for n, account in enumerate(accounts)]
    for account, amount in items:
        await world.mint(token, account, amount)
    data = encode_sweep(token, packed(items))
    authorizations = [world.authorize(account) for account in accounts] if first else []
    need = await _limit_needed(world, data, authorizations) if first else 0
    receipt = await world.chain.must(
        world.sweeper, world.helpers.collector, data, authorizations=authorizations
    )
    for account, _ in items:
        assert await world.held(token, account) == 0
    if not first:
        return receipt.gas_used
    spent = receipt.gas_used * 5 // 4
    assert spent // 5 < (12_500 + CLEARED) * COUNT, "refunds are not at their end: formula is off"
    assert abs(spent - need) < need // 50, (spent, need)
    return spent - min(CLEARED * COUNT, spent // 5)


async def _limit_needed(world: World, data: bytes, authorizations: Sequence[Any]) -> int:
    """What the sender must provide: gas before refunds."""
    call = {
        "from": checksum(address_of(world.sweeper)),
        "to": checksum(world.helpers.collector),
        "data": to_hex(data),
        "authorizationList": [
            {
                "chainId": hex(item.chain_id),
                "address": checksum(item.address),
                "nonce": hex(item.nonce),
                "yParity": hex(item.y_parity),
                "r": hex(item.r),
                "s": hex(item.s),
            }
            for item in authorizations
        ],
    }
    return int(await world.chain.rpc.call("eth_estimateGas", call), 16)


def proxy_of(implementation: Address) -> bytes:
    """Creation code of a proxy that does what Circle's does in each call: refuses its admin,
    reads where the code is, delegates."""
    runtime = bytes.fromhex(
        f"7f{_ADMIN_SLOT.hex()}54"  # SLOAD(admin)
        "3314605a57"  # CALLER EQ, to the refusal
        "365f5f37"  # CALLDATACOPY
        f"5f5f365f7f{_CODE_SLOT.hex()}54"  # SLOAD(implementation)
        "5af4"  # GAS DELEGATECALL
        "3d5f5f3e"  # RETURNDATACOPY
        "605e57"  # to the answer, if it succeeded
        "5b3d5ffd"  # at 0x5a: REVERT with what came back
        "5b3d5ff3"  # at 0x5e: RETURN what came back
    )
    store = "".join(
        f"73{value.hex()}7f{slot.hex()}55"
        for value, slot in ((implementation, _CODE_SLOT), (b"\xad" * 20, _ADMIN_SLOT))
    )
    size = len(runtime)
    code = bytes.fromhex(store)
    start = len(code) + 10
    tail = bytes.fromhex(f"60{size:02x}60{start:02x}5f3960{size:02x}5ff3")
    return code + tail + runtime


def calldata_gas(data: bytes) -> int:
    """EIP-2028."""
    zeros = data.count(0)
    return 4 * zeros + 16 * (len(data) - zeros)


async def token_frames(world: World, receipt: Receipt, token: Address) -> list[int]:
    """Gas used inside each call of the token, from the transaction's call trace."""
    trace = await world.chain.rpc.call(
        "debug_traceTransaction", to_hex(receipt.tx_hash), {"tracer": "callTracer"}
    )
    found: list[int] = []
    frames = [trace]
    while frames:
        frame = frames.pop()
        if frame.get("to", "").lower() == to_hex(token):
            found.append(int(frame["gasUsed"], 16))
        else:
            frames += frame.get("calls", ())
    return found
