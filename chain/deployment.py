"""Putting the helper contracts on a chain, at the same addresses on every chain.

CREATE2 through the deterministic deployment proxy
(https://github.com/Arachnid/deterministic-deployment-proxy): an address follows
from the salt, the creation code and its arguments, and from nothing else. So
owner, first signer and first sweeper must be the same on all chains; they stay
what the addresses are computed from even after they are rotated on chain.

Nothing here is persisted before it is sent, on purpose: a deployment repeated
after a crash finds the code in place, or fails in the proxy and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Protocol

from eth_utils.crypto import keccak

from chain.artifacts import load_artifact
from chain.helper_contracts import EventLog, check_own_log
from chain.model import TxRequest
from config.clock import Clock
from config.errors import BursarError
from config.units import Address, Hash32, checksum, parse_address, to_hex

DEPLOYMENT_PROXY: Final = parse_address("0x4e59b44847b379578588920cA78FbF26c0B4956C")
PROXY_RUNTIME: Final = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
    "e03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
)
PROXY_SENDER: Final = parse_address("0x3fAB184622Dc19b6109349B94811493BF2a45362")
"""Nobody holds its key: the address follows from the made-up signature of the transaction below."""
PROXY_TRANSACTION: Final = bytes.fromhex(
    "f8a58085174876e800830186a08080b853604580600e600039806000f350fe"
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"
    "e03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3"
    "1ba02222222222222222222222222222222222222222222222222222222222222222"
    "a02222222222222222222222222222222222222222222222222222222222222222"
)
PROXY_GAS_PRICE: Final = 100 * 10**9
PROXY_COST: Final = 100_000 * PROXY_GAS_PRICE
"""Wei that the sender needs: gas limit and gas price are part of what is signed."""

SALT: Final = Hash32(bytes(keccak(text="bursar helper contracts 1")))

_POLL_SECONDS: Final = 0.25


class DeploymentError(BursarError):
    """A helper contract could not be put in place, or something else is at its address."""


@dataclass(frozen=True, slots=True)
class HelperContracts:
    """Where they are, on every chain."""

    treasury: Address
    collector: Address
    forwarder: Address
    factory: Address
    """Of deposit addresses without keys; deployed only where they are in use."""

    def check_log(self, log: EventLog) -> None:
        """As :func:`chain.helper_contracts.check_own_log`, for these contracts.

        :raises ValueError: no honest provider shows it.
        """
        check_own_log(log, self.treasury, self.collector)


@dataclass(frozen=True, slots=True)
class DeploymentStep:
    """One contract to create: its address follows from ``init_code``.

    :param init_code: creation code with its constructor arguments.
    :param runtime: the exact code that must be there afterwards.
    """

    contract: str
    address: Address
    init_code: bytes
    runtime: bytes


class ChainAccess(Protocol):
    """What a deployment needs of a chain; ``chain.client.ChainClient`` has it."""

    async def code(self, address: Address) -> bytes: ...
    async def balance(self, address: Address) -> int: ...
    async def nonce(self, address: Address) -> int: ...
    async def estimate_gas(self, tx: TxRequest) -> int: ...
    async def send_raw(self, raw: bytes) -> object: ...
    async def receipt(self, tx_hash: Hash32) -> object | None: ...
    async def fees(self) -> FeeLike: ...


class FeeLike(Protocol):
    """Wei per gas; ``chain.model.FeeQuote`` has it."""

    @property
    def base_fee(self) -> int: ...
    @property
    def tip(self) -> int: ...


class TransactionSigner(Protocol):
    """A funded key. ``sign_transaction`` takes web3's field names and gives the raw bytes."""

    @property
    def address(self) -> Address: ...
    async def sign_transaction(self, tx: dict[str, Any]) -> bytes: ...


def create2_address(init_code: bytes, salt: Hash32 = SALT) -> Address:
    """Where the proxy creates this code (EIP-1014)."""
    preimage = b"\xff" + DEPLOYMENT_PROXY + salt + keccak(init_code)
    return Address(bytes(keccak(preimage)[12:]))


def deployment_steps(
    owner: Address, treasury_signer: Address, sweeper: Address, *, factory: bool = False
) -> tuple[DeploymentStep, ...]:
    """Treasury, collector, forwarder, in this order: each needs the address of the one before.

    :param owner: the cold key that rules treasury and collector.
    :param treasury_signer: first signer of batches.
    :param sweeper: first sender of sweeps, the sponsor of the sweep lane.
    :param factory: that of deposit addresses without keys too, as the fourth.
    """
    treasury = _step("Treasury", owner, treasury_signer)
    collector = _step("Collector", owner, sweeper, treasury.address)
    forwarder = _step("Forwarder", collector.address)
    steps = (treasury, collector, forwarder)
    return (*steps, _step("DepositFactory", forwarder.address)) if factory else steps


def plan_addresses(owner: Address, treasury_signer: Address, sweeper: Address) -> HelperContracts:
    """Where the helper contracts are or will be, without asking any chain."""
    steps = deployment_steps(owner, treasury_signer, sweeper, factory=True)
    return HelperContracts(*(step.address for step in steps))


def _step(contract: str, *arguments: Address) -> DeploymentStep:
    artifact = load_artifact(contract)
    init_code = artifact.bytecode + b"".join(word.rjust(32, b"\0") for word in arguments)
    # Forwarder and factory have an immutable each: their one argument.
    runtime = artifact.runtime_with(arguments[0])
    return DeploymentStep(contract, create2_address(init_code), init_code, runtime)


@dataclass(frozen=True, slots=True)
class Deployer:
    """Brings one chain to where all helper contracts stand. Repeatable; sends only what is missing.

    :param payer: pays for gas and for the proxy's keyless sender; gains no power by it.
    :param timeout_seconds: how long to wait for each transaction.
    """

    chain_id: int
    chain: ChainAccess
    payer: TransactionSigner
    clock: Clock
    timeout_seconds: float = 180.0

    async def deploy(self, steps: tuple[DeploymentStep, ...]) -> tuple[DeploymentStep, ...]:
        """Deploy what is missing and check all code, byte by byte.

        :returns: the steps that this call carried out; empty if all was there.
        :raises DeploymentError: refused, timed out, out of gas money, or other code is there.
        """
        done = []
        for step in steps:
            if await self._is_there(step):
                continue
            await self.ensure_proxy()
            await self._transact(DEPLOYMENT_PROXY, SALT + step.init_code, what=step.contract)
            # Not the receipt's status: where another deployer came first ours reverts, harmlessly.
            if not await self._is_there(step):
                raise DeploymentError(
                    f"{step.contract} is not at its address after its transaction was mined",
                    where=checksum(step.address),
                    remedy="run the deployment again; if it persists, the chain's EVM differs",
                )
            done.append(step)
        return tuple(done)

    async def ensure_proxy(self) -> bool:
        """Put the deployment proxy there if it is missing; whether it had to be.

        :raises DeploymentError: the chain refuses its transaction, or gas costs more than it pays.
        """
        code = await self.chain.code(DEPLOYMENT_PROXY)
        if code == PROXY_RUNTIME:
            return False
        if code:
            raise DeploymentError(
                "other code than the deployment proxy's is there", where=checksum(DEPLOYMENT_PROXY)
            )
        if (await self.chain.fees()).base_fee > PROXY_GAS_PRICE:
            raise DeploymentError(
                "gas costs more than the 100 gwei that the proxy's presigned transaction pays",
                where=checksum(DEPLOYMENT_PROXY),
                remedy="try again when the base fee is lower",
            )
        missing = PROXY_COST - await self.chain.balance(PROXY_SENDER)
        if missing > 0:
            await self._transact(PROXY_SENDER, b"", value=missing, what="the proxy's sender")
        await self._send(PROXY_TRANSACTION, what="the deployment proxy")
        if await self.chain.code(DEPLOYMENT_PROXY) != PROXY_RUNTIME:
            raise DeploymentError(
                "the deployment proxy's transaction was mined but left no proxy",
                where=checksum(DEPLOYMENT_PROXY),
                remedy="this chain prices gas differently; ask its operators for the proxy",
            )
        return True

    async def _is_there(self, step: DeploymentStep) -> bool:
        code = await self.chain.code(step.address)
        if code and code != step.runtime:
            raise DeploymentError(
                f"the code there is not that of {step.contract}", where=checksum(step.address)
            )
        return bool(code)

    async def _transact(self, to: Address, data: bytes, *, what: str, value: int = 0) -> None:
        quote = await self.chain.fees()
        sender = self.payer.address
        gas = await self.chain.estimate_gas(TxRequest(sender=sender, to=to, data=data, value=value))
        limit = gas + gas // 10
        # Twice the base fee outlasts six full blocks; unused, it is not paid.
        price = 2 * quote.base_fee + quote.tip
        if await self.chain.balance(sender) < limit * price + value:
            raise DeploymentError(
                f"not enough native coin to deploy {what}",
                where=checksum(sender),
                remedy=f"send it {limit * price + value} wei or more",
            )
        raw = await self.payer.sign_transaction(
            {
                "type": 2,
                "chainId": self.chain_id,
                "nonce": await self.chain.nonce(sender),
                "to": checksum(to),
                "value": value,
                "data": to_hex(data),
                "gas": limit,
                "maxFeePerGas": price,
                "maxPriorityFeePerGas": quote.tip,
            }
        )
        await self._send(raw, what=what)

    async def _send(self, raw: bytes, *, what: str) -> None:
        """Send and wait until mined. What the node says to the sending is only repeated in the
        error: a refusal may hide that it was accepted, the receipt alone decides."""
        tx_hash = Hash32(bytes(keccak(raw)))
        answer = await self.chain.send_raw(raw)
        deadline = self.clock.monotonic() + self.timeout_seconds
        while await self.chain.receipt(tx_hash) is None:
            if self.clock.monotonic() >= deadline:
                raise DeploymentError(
                    f"the transaction for {what} was not mined in {self.timeout_seconds:.0f} s "
                    f"(the node said: {answer})",
                    where=to_hex(tx_hash),
                    remedy="run the deployment again: it finds what was mined meanwhile",
                )
            await self.clock.sleep(_POLL_SECONDS)
