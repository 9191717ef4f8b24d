"""Mutants of the way out: each is how money has been paid twice, or lost, somewhere."""

from __future__ import annotations

from typing import Final

from tests.mutants.model import Change, Mutant

_SETTLEMENT: Final = "tests/chain/settlement"
_CRASH: Final = f"{_SETTLEMENT}/test_crash.py"

PAYING: Final = (
    Mutant(
        "broadcast before persist",
        (
            Change(
                "settlement/lanes/dispatch.py",
                "    try:\n        async with d.ctx.ledger.transaction() as tx:\n            # P2.",
                "    await d.ctx.client.send_raw(new.raw)\n"
                "    try:\n        async with d.ctx.ledger.transaction() as tx:\n            # P2.",
            ),
        ),
        (f"{_CRASH}::test_f13_crash_at_every_write__another_finishes__paid_once",),
    ),
    Mutant(
        "replacement saved after sending",
        (
            Change(
                "settlement/lanes/following.py",
                "    async with f.ctx.ledger.transaction() as tx:\n"
                "        await check(tx, f.lease)\n"
                "        attempt_id = await store_attempt(tx, new)",
                "    await f.ctx.client.send_raw(new.raw)\n"
                "    async with f.ctx.ledger.transaction() as tx:\n"
                "        await check(tx, f.lease)\n"
                "        attempt_id = await store_attempt(tx, new)",
            ),
        ),
        (f"{_CRASH}::test_f13_crash_around_a_replacement__stored_before_it_is_sent",),
    ),
    Mutant(
        "nonce held in memory only",
        (
            Change(
                "settlement/lanes/dispatch.py",
                "        nonce=lane.next_nonce, attempt=0, gas_limit=limit, fees=offer,",
                "        nonce=_memory.get(d.lease.owner + lane.lane, lane.next_nonce),\n"
                "        attempt=0, gas_limit=limit, fees=offer,",
            ),
            Change(
                "settlement/lanes/dispatch.py",
                "            await take_nonce(tx, lane)\n",
                "            _memory[d.lease.owner + lane.lane] = new.nonce + 1\n",
            ),
            Change(
                "settlement/lanes/dispatch.py",
                "async def _idle_agrees(d: Dispatch) -> bool:",
                "_memory: dict[str, int] = {}\n\n\n"
                "async def _idle_agrees(d: Dispatch) -> bool:\n"
                "    return True\n\n\n"
                "async def _idle_agreed(d: Dispatch) -> bool:",
            ),
        ),
        (f"{_CRASH}::test_f13_crash_at_every_write__another_finishes__paid_once",),
    ),
    Mutant(
        "send error taken for failure",
        (
            Change(
                "settlement/lanes/sending.py",
                "        if after_send(result.outcome) is AfterSend.HALT:",
                "        if result.outcome.value == 'unknown' and attempt.batch_id is not None:\n"
                "            batch = (await get_batches(tx, [attempt.batch_id]))[attempt.batch_id]\n"
                "            if batch.purpose == 'payout':\n"
                "                rows = await payouts_of_batch(tx, attempt.batch_id)\n"
                "                back = [PayoutMove(row, PayoutStatus.QUEUED) for row in rows]\n"
                "                await move_payouts(tx, back)\n"
                "                await move_batch(tx, batch, BatchStatus.VOID, 'not sent')\n"
                "        if after_send(result.outcome) is AfterSend.HALT:",
            ),
        ),
        (f"{_SETTLEMENT}/test_faults.py::test_f14_unknown_send_error__decided_by_hash_and_nonce",),
    ),
    Mutant(
        "fencing token unchecked",
        (
            Change(
                "ledger/leases.py",
                '    if not held or held[0]["expires_at"] <= tx.now:\n        raise _lost(lease)',
                "    return",
            ),
        ),
        (
            f"{_SETTLEMENT}/test_leaders.py"
            "::test_f19_leader_asleep_before_any_write__its_writes_are_refused__paid_once",
        ),
    ),
    Mutant(
        "batch requeued under a new id after already executed",
        (
            Change(
                "settlement/lanes/dispatch.py",
                "        await adopt_execution(d.ctx, d.lease, d.lane.lane, batch, d.finality)",
                "        from ledger.batches import move_batch\n"
                "        from ledger.payouts import PayoutMove, move_payouts, payouts_of_batch\n"
                "        from ledger.states import PayoutStatus\n\n"
                "        async with d.ctx.ledger.transaction() as tx:\n"
                "            rows = await payouts_of_batch(tx, batch.id)\n"
                "            await move_payouts(\n"
                "                tx, [PayoutMove(row, PayoutStatus.QUEUED) for row in rows]\n"
                "            )\n"
                "            await move_batch(tx, batch, BatchStatus.VOID, 'already executed')",
            ),
        ),
        (
            f"{_SETTLEMENT}/test_faults.py"
            "::test_stranger_submits_our_signed_batch__adopted_not_paid_again",
        ),
    ),
    Mutant(
        "payout drawn on a sweep that is not final",
        (
            Change(
                "settlement/lanes/following.py",
                "    if not final:\n        return\n    if not await",
                "    if not final and mined.purpose != 'sweep':\n        return\n    if not await",
            ),
        ),
        (f"{_SETTLEMENT}/test_leaders.py::test_draw__sweep_mined_but_not_final__payout_waits",),
    ),
    Mutant(
        "derivation index taken from a restored database",
        (
            Change(
                "ledger/installation.py",
                "        .where(address_counter.c.id == 1, address_counter.c.next_index < next_index)",
                "        .where(address_counter.c.id == 1, address_counter.c.next_index < 0)",
            ),
        ),
        (
            "tests/unit/settlement/test_journal.py::test_f20_index_from_a_restored_database__never_handed_out_again",
        ),
    ),
    Mutant(
        "a lost journal leaves no index out",
        (
            Change(
                "bursar/startup.py",
                "    if known <= imported_from and not used and not had_one:\n",
                "    if known:\n",
            ),
        ),
        (
            "tests/system/test_lost_journal.py::test_f20_journal_lost__a_million_indexes_left_out__once",
        ),
    ),
    Mutant(
        "what was imported since a backup is handed out again",
        (
            Change(
                "ledger/presigned.py",
                "    await raise_index(tx, max(int(lowest or 0), hand_out_from or 0))\n",
                "    await raise_index(tx, int(lowest or 0))\n",
            ),
        ),
        (
            "tests/system/test_lost_journal.py::test_f20_journal_lost__imported_since_the_backup__handed_out_from_where_a_person_says",
        ),
    ),
    Mutant(
        "one provider's word about a batch that ran is enough",
        (
            Change(
                "settlement/agreed.py",
                "    if second is None:\n        return Heard(await ask(client))\n",
                "    return Heard(await ask(client))\n",
            ),
        ),
        (
            f"{_SETTLEMENT}/test_lies.py::test_f18_ran_before_the_epoch_was_raised__one_provider_says_it_did_not__not_given_up",
        ),
    ),
    Mutant(
        "a refused commit leaves its connection in the pool",
        (
            Change(
                "ledger/store.py",
                "        if not done:\n            await conn.invalidate()\n",
                "        pass\n",
            ),
        ),
        (
            "tests/ledger/test_store.py::test_f12_commit_that_is_refused__nothing_kept_and_no_transaction_left_open",
        ),
    ),
    Mutant(
        "after a restore one provider's logs are enough",
        (
            Change(
                "settlement/restore/scanning.py",
                "    other = client.second()\n    if other is None:\n        return await _shown(client, last, ask)\n",
                "    return await _shown(client, last, ask)\n",
            ),
        ),
        (
            f"{_SETTLEMENT}/test_restore.py::test_f05_restored__one_of_two_providers_shows_no_logs__sweep_and_payout_booked",
        ),
    ),
    Mutant(
        "one provider's receipt is enough",
        (
            Change(
                "settlement/lanes/agreement.py",
                "    if not differing:\n",
                "    if True:\n",
            ),
        ),
        (
            f"{_SETTLEMENT}/test_lanes.py::test_f14_receipt_with_logs_left_out__booked_by_what_two_providers_show",
        ),
    ),
    Mutant(
        "an execution of a past epoch is left waiting",
        (
            Change(
                "settlement/lanes/adopt.py",
                "        await adopt_execution(ctx, lease, lane, batch, finality)\n        return",
                "        return",
            ),
        ),
        (
            f"{_SETTLEMENT}/test_lanes.py::test_f18_submitted_by_somebody_and_epoch_raised_after__booked_as_paid_once",
        ),
    ),
    Mutant(
        "a sponsor pays for each transaction as if for none before",
        (
            Change(
                "settlement/lanes/dispatch.py",
                "        wei += await committed_wei(",
                "        await committed_wei(",
            ),
        ),
        (
            f"{_SETTLEMENT}/test_fallback.py::test_fallback__sponsor_can_pay_for_one_of_two_in_flight__the_other_takes_no_nonce",
        ),
    ),
    Mutant(
        "a deposit waits for ever for gas that was not taken",
        (
            Change(
                "settlement/finish.py",
                "            if receipt.status != 1:\n                await _give_up_after(",
                "            if receipt.status == 2:\n                await _give_up_after(",
            ),
        ),
        (
            f"{_SETTLEMENT}/test_fallback.py::test_fallback__the_gas_s_own_transfer_reverts__deposit_is_held_and_swept_once_released",
        ),
    ),
    Mutant(
        "one estimate that fails keeps back those before it",
        (
            Change(
                "settlement/lanes/dispatch.py",
                "    except RpcError as error:\n        return error",
                "    except CallReverted as error:\n        return error",
            ),
        ),
        (
            f"{_SETTLEMENT}/test_many_batches.py::test_dispatch__one_estimate_fails__those_before_it_go_out_and_it_is_next",
        ),
    ),
    Mutant(
        "every deposit that waits is asked about for one sweep",
        (
            Change(
                "settlement/sweeps.py",
                "(await chosen_deposits(ctx, token, rounds=rounds))[:MOST_AT_ONCE]",
                "await chosen_deposits(ctx, token, rounds=rounds)",
            ),
        ),
        (
            f"{_SETTLEMENT}/test_many_batches.py::test_sweep__more_addresses_than_one_takes__chain_asked_about_no_more_than_those",
        ),
    ),
)
