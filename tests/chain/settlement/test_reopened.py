"""Something turns up on chain that a leader, which had compared everything, should know."""

from __future__ import annotations

from chain.helper_contracts import batch_digest, content_hash, encode_pay_batch, pack_batch
from config.units import Amount
from tests.chain.settlement.scenes import ONE_DATABASE, treasury_filled
from tests.chain.settlement.world import CHAIN_ID, World, recipient
from tests.support.dev_chain import dev_account


@ONE_DATABASE
async def test_f20_next_id_was_executed_under_this_lease__compared_anew_and_booked_then_paid(
    world: World,
) -> None:
    """By the same signer, elsewhere: a second database, or a tool. Its id must not be signed again."""
    service = world.service()
    merchant = await treasury_filled(world, service, deposit=100)
    treasury, token = world.contracts.treasury, world.tokens["USDC"]
    packed = pack_batch([(recipient(1), Amount(7))])
    digest = batch_digest(CHAIN_ID, treasury, 0, 1, token, content_hash(packed))
    signature = await world.keys.treasury_signer().sign_digest(digest)
    data = encode_pay_batch(0, 1, token, packed, signature)
    await world.dev.must(dev_account(4), treasury, data)
    second = await world.promise(merchant, "USDC", 10, recipient(2))
    await world.settle(service, world.all_are("paid", second), audit=False)
    assert world.observer.count("outflow_adopted") == 1
    assert await world.held("USDC", recipient(2)) == 10
    await world.agrees()
