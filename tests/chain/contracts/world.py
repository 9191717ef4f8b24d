"""Helper contracts deployed on a fresh Anvil, and short ways to use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from eth_account.signers.local import LocalAccount

from chain.abi import decode_uint, encode_call
from chain.deployment import Deployer, HelperContracts, deployment_steps, plan_addresses
from chain.erc20 import encode_balance_of
from chain.helper_contracts import (
    BatchExecuted,
    EntryFailure,
    PayoutFailed,
    batch_digest,
    content_hash,
    decode_batch_executed,
    decode_payout_failed,
    decode_simulated,
    encode_pay_batch,
    encode_simulate,
    pack_batch,
)
from chain.model import Receipt
from config.clock import SystemClock
from config.units import Address, Amount, checksum
from tests.support.dev_chain import DevChain, LocalSigner, RevertedError, address_of, dev_account

CHAIN_ID = 31337
Items = Sequence[tuple[Address, int]]


def recipient(number: int) -> Address:
    """An address that nobody has used."""
    return Address(bytes([0xAA]) * 16 + number.to_bytes(4))


def packed(items: Items) -> bytes:
    return pack_batch([(account, Amount(amount)) for account, amount in items])


@dataclass
class World:
    chain: DevChain
    helpers: HelperContracts
    payer: LocalAccount = field(default_factory=lambda: dev_account(0))
    owner: LocalAccount = field(default_factory=lambda: dev_account(1))
    signer: LocalAccount = field(default_factory=lambda: dev_account(2))
    sweeper: LocalAccount = field(default_factory=lambda: dev_account(3))
    stranger: LocalAccount = field(default_factory=lambda: dev_account(4))

    async def token(self, contract: str, *arguments: object, treasury: int = 10**30) -> Address:
        """A new test token of which the treasury holds some."""
        token = await self.chain.create(self.payer, contract, *arguments)
        if treasury:
            await self.mint(token, self.helpers.treasury, treasury)
        return token

    async def usdc(self) -> Address:
        return await self.token("UsdcLike", "USD Coin", "USDC")

    async def mint(self, token: Address, to: Address, amount: int) -> None:
        await self.run(token, "mint(address,uint256)", to, amount)

    async def run(
        self, to: Address, signature: str, *values: object, by: LocalAccount | None = None
    ) -> Receipt:
        """A transaction that must succeed."""
        return await self.chain.must(by or self.payer, to, encode_call(signature, *values))

    async def ask(self, to: Address, signature: str, *values: object) -> int:
        """A view that answers one word."""
        return decode_uint(await self.chain.call(to, encode_call(signature, *values)))

    async def held(self, token: Address, account: Address) -> int:
        return decode_uint(await self.chain.call(token, encode_balance_of(account)))

    def signed_batch(
        self,
        token: Address,
        items: Items,
        *,
        batch_id: int = 0,
        epoch: int = 0,
        chain_id: int = CHAIN_ID,
        treasury: Address | None = None,
        signer: LocalAccount | None = None,
    ) -> bytes:
        """Call data of a batch; what is signed can differ from what is called."""
        content = packed(items)
        digest = batch_digest(
            chain_id,
            treasury or self.helpers.treasury,
            epoch,
            batch_id,
            token,
            content_hash(content),
        )
        signature = bytes((signer or self.signer).unsafe_sign_hash(digest).signature)
        return encode_pay_batch(epoch, batch_id, token, content, signature)

    async def pay(
        self, token: Address, items: Items, *, batch_id: int = 0, gas: int = 16_000_000
    ) -> tuple[BatchExecuted, list[PayoutFailed], Receipt]:
        data = self.signed_batch(token, items, batch_id=batch_id)
        receipt = await self.chain.must(self.stranger, self.helpers.treasury, data, gas=gas)
        return (*self.outcome(receipt), receipt)

    def outcome(self, receipt: Receipt) -> tuple[BatchExecuted, list[PayoutFailed]]:
        treasury = self.helpers.treasury
        (executed,) = filter(None, (decode_batch_executed(log, treasury) for log in receipt.logs))
        failed = filter(None, (decode_payout_failed(log, treasury) for log in receipt.logs))
        return executed, list(failed)

    async def refusal(self, to: Address, data: bytes, *, by: LocalAccount | None = None) -> bytes:
        """The revert data of a call that must not go through."""
        try:
            await self.chain.call(to, data, sender=address_of(by or self.stranger))
        except RevertedError as error:
            return error.data
        raise AssertionError("the call went through")

    async def simulate(self, to: Address, token: Address, items: Items) -> tuple[EntryFailure, ...]:
        failures = decode_simulated(await self.refusal(to, encode_simulate(token, packed(items))))
        assert failures is not None
        return failures

    def authorize(
        self,
        account: LocalAccount,
        *,
        nonce: int = 0,
        delegate: Address | None = None,
        chain_id: int = CHAIN_ID,
    ) -> object:
        """A signed EIP-7702 authorization."""
        target = delegate if delegate is not None else self.helpers.forwarder
        return account.sign_authorization(
            {"chainId": chain_id, "address": checksum(target), "nonce": nonce}
        )


async def build_world(chain: DevChain, chain_id: int = CHAIN_ID, *, factory: bool = False) -> World:
    """:param factory: that of deposit addresses without keys too."""
    roles = [address_of(dev_account(index)) for index in (1, 2, 3)]
    deployer = Deployer(chain_id, chain, LocalSigner(dev_account(0)), SystemClock())
    await deployer.deploy(deployment_steps(*roles, factory=factory))
    return World(chain=chain, helpers=plan_addresses(*roles))
