"""Same addresses everywhere, sent once, proxy put there first."""

from __future__ import annotations

import dataclasses

import pytest

from chain.abi import decode_address, encode_call
from chain.anvil import Anvil, AnvilOptions, DevRpc
from chain.deployment import (
    DEPLOYMENT_PROXY,
    PROXY_RUNTIME,
    PROXY_SENDER,
    PROXY_TRANSACTION,
    Deployer,
    DeploymentError,
    create2_address,
    deployment_steps,
    plan_addresses,
)
from config.clock import SystemClock
from config.units import Address, checksum, parse_address, to_hex
from tests.support.dev_chain import DevChain, LocalSigner, address_of, dev_account

OWNER, SIGNER, SWEEPER = (address_of(dev_account(index)) for index in (1, 2, 3))


def deployer(chain: DevChain, account: int = 0, chain_id: int = 31337) -> Deployer:
    return Deployer(
        chain_id, chain, LocalSigner(dev_account(account)), SystemClock(), timeout_seconds=10
    )


async def test_deploy__twice__same_addresses_and_nothing_sent_the_second_time(
    chain: DevChain,
) -> None:
    steps = deployment_steps(OWNER, SIGNER, SWEEPER)
    assert await deployer(chain).deploy(steps) == steps
    sent = await chain.nonce(address_of(dev_account(0)))
    assert await deployer(chain).deploy(steps) == ()
    assert await chain.nonce(address_of(dev_account(0))) == sent == 3
    plan = plan_addresses(OWNER, SIGNER, SWEEPER)
    assert [step.address for step in steps] == [plan.treasury, plan.collector, plan.forwarder]
    for contract, view, expected in (
        (plan.treasury, "owner()", OWNER),
        (plan.treasury, "signer()", SIGNER),
        (plan.collector, "owner()", OWNER),
        (plan.collector, "sweeper()", SWEEPER),
        (plan.collector, "sink()", plan.treasury),
        (plan.forwarder, "collector()", plan.collector),
    ):
        assert decode_address(await chain.call(contract, encode_call(view))) == expected


async def test_deploy__factory_later__only_it_is_sent_and_bound_to_the_forwarder(
    chain: DevChain,
) -> None:
    await deployer(chain).deploy(deployment_steps(OWNER, SIGNER, SWEEPER))
    steps = deployment_steps(OWNER, SIGNER, SWEEPER, factory=True)
    assert [s.contract for s in await deployer(chain).deploy(steps)] == ["DepositFactory"]
    plan = plan_addresses(OWNER, SIGNER, SWEEPER)
    assert steps[3].address == plan.factory
    answer = await chain.call(plan.factory, encode_call("forwarder()"))
    assert decode_address(answer) == plan.forwarder


async def test_deploy__other_chain_other_payer_no_proxy__same_addresses() -> None:
    options = AnvilOptions(chain_id=10, create2_proxy=False)
    async with Anvil(options) as anvil, DevRpc(anvil.rpc_url) as rpc:
        chain = DevChain(rpc)
        assert await chain.code(DEPLOYMENT_PROXY) == b""
        steps = deployment_steps(OWNER, SIGNER, SWEEPER)
        assert await deployer(chain, account=5, chain_id=10).deploy(steps) == steps
        assert await chain.code(DEPLOYMENT_PROXY) == PROXY_RUNTIME
        assert await deployer(chain, account=5, chain_id=10).ensure_proxy() is False


async def test_ensure_proxy__sender_funded_by_someone_before__only_the_rest_is_sent() -> None:
    async with Anvil(AnvilOptions(create2_proxy=False)) as anvil, DevRpc(anvil.rpc_url) as rpc:
        chain = DevChain(rpc)
        await rpc.call("anvil_setBalance", checksum(PROXY_SENDER), hex(4 * 10**15))
        before = await chain.balance(address_of(dev_account(0)))
        assert await deployer(chain).ensure_proxy() is True
        spent = before - await chain.balance(address_of(dev_account(0)))
        assert 6 * 10**15 <= spent < 7 * 10**15


async def test_ensure_proxy__other_code_there__refused(chain: DevChain) -> None:
    await chain.rpc.call("anvil_setCode", checksum(DEPLOYMENT_PROXY), "0x00")
    with pytest.raises(DeploymentError, match="other code"):
        await deployer(chain).ensure_proxy()


async def test_ensure_proxy__base_fee_above_its_price__refused_before_funding() -> None:
    options = AnvilOptions(create2_proxy=False, extra=["--base-fee", str(101 * 10**9)])
    async with Anvil(options) as anvil, DevRpc(anvil.rpc_url) as rpc:
        chain = DevChain(rpc)
        with pytest.raises(DeploymentError, match="100 gwei"):
            await deployer(chain).ensure_proxy()
        assert await chain.balance(PROXY_SENDER) == 0


async def test_deploy__wrong_code_at_the_address__refused(chain: DevChain) -> None:
    steps = deployment_steps(OWNER, SIGNER, SWEEPER)
    await chain.rpc.call("anvil_setCode", checksum(steps[1].address), to_hex(steps[0].runtime))
    with pytest.raises(DeploymentError, match="not that of Collector"):
        await deployer(chain).deploy(steps)


async def test_deploy__payer_without_money__says_how_much(chain: DevChain) -> None:
    await chain.rpc.call("anvil_setBalance", checksum(address_of(dev_account(0))), "0x1")
    with pytest.raises(DeploymentError, match="native coin"):
        await deployer(chain).deploy(deployment_steps(OWNER, SIGNER, SWEEPER))


async def test_deploy__never_mined__gives_up_with_the_hash(chain: DevChain) -> None:
    await chain.rpc.call("evm_setAutomine", False)
    impatient = dataclasses.replace(deployer(chain), timeout_seconds=0.3)
    with pytest.raises(DeploymentError, match="not mined"):
        await impatient.deploy(deployment_steps(OWNER, SIGNER, SWEEPER))
    await chain.rpc.call("anvil_mine", "0x1")
    await chain.rpc.call("evm_setAutomine", True)
    done = await deployer(chain).deploy(deployment_steps(OWNER, SIGNER, SWEEPER))
    assert [step.contract for step in done] == [
        "Collector",
        "Forwarder",
    ]  # the first was mined meanwhile


def test_plan_addresses__any_argument_changed__other_addresses() -> None:
    base = plan_addresses(OWNER, SIGNER, SWEEPER)
    other = Address(b"\x01" * 20)
    for changed in (
        plan_addresses(other, SIGNER, SWEEPER),
        plan_addresses(OWNER, other, SWEEPER),
    ):
        assert not {base.treasury, base.collector, base.forwarder, base.factory} & {
            changed.treasury,
            changed.collector,
            changed.forwarder,
            changed.factory,
        }
    rotated = plan_addresses(OWNER, SIGNER, other)
    assert (rotated.treasury, rotated.collector == base.collector) == (base.treasury, False)


def test_proxy_constants__agree_with_each_other() -> None:
    from eth_account import Account
    from eth_utils.crypto import keccak

    assert Account.recover_transaction(PROXY_TRANSACTION) == checksum(PROXY_SENDER)
    assert PROXY_RUNTIME in PROXY_TRANSACTION
    # The hash under which block explorers of every chain list it.
    assert (
        keccak(PROXY_TRANSACTION).hex()
        == "eddf9e61fb9d8f5111840daef55e5fde0041f5702856532cdbb5a02998033d26"
    )
    created = keccak(bytes.fromhex("d694") + PROXY_SENDER + b"\x80")[
        12:
    ]  # RLP of (sender, nonce 0)
    assert (
        created == DEPLOYMENT_PROXY == parse_address("0x4e59b44847b379578588920cA78FbF26c0B4956C")
    )


def test_create2_address__eip_1014_form__depends_on_salt_and_code() -> None:
    from config.units import Hash32

    assert create2_address(b"a") != create2_address(b"b")
    assert create2_address(b"a") != create2_address(b"a", Hash32(bytes(32)))
