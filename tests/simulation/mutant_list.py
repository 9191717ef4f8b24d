"""Faults that somebody could write, in watcher, ledger and transaction manager."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.mutants.model import Change
from tests.mutants.paying import PAYING as TESTED

NOTHING: Mapping[str, float] = {}


@dataclass(frozen=True, slots=True)
class Spoilt:
    """A mutant. ``faults``: levels of the faults that it is about, so that they do occur."""

    name: str
    changes: tuple[Change, ...]
    faults: Mapping[str, float] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    """Worlds that have what it is about; none: any."""

    @property
    def slack(self) -> int:
        """Seconds to which timers are rounded: short where it is about single blocks."""
        return 3 if {"reorg_deposit", "reorg_ours"} & set(self.faults) else 12


def tested(name: str, faults: Mapping[str, float] = NOTHING, **more: tuple[int, ...]) -> Spoilt:
    """The very fault that a test of paying has to notice: here the simulator has to."""
    (same,) = (mutant for mutant in TESTED if mutant.name == name)
    return Spoilt(name, same.changes, faults, **more)


def one(name: str, file: str, old: str, new: str, faults: Mapping[str, float] = NOTHING) -> Spoilt:
    """A mutant of one change."""
    return Spoilt(name, (Change(file, old, new),), faults)


REORGS = {"reorg_deposit": 1.0, "reorg_drop": 0.3}
TIERED = (1008, 1010, 1011, 1012, 1014, 1039, 1040, 1060, 1063, 1065, 1075, 1079, 1081, 1083)
"""Seeds whose second chain has tiers."""
ALONE = (1003, 1015, 1021, 1025, 1028, 1032, 1033, 1049, 1053, 1062, 1064, 1069, 1071, 1072)
"""Seeds of one chain with one provider."""
TWO = (1000, 1004, 1005, 1013, 1017, 1031, 1034, 1037, 1041, 1045, 1047, 1051, 1052, 1056, 1057)
"""Seeds of one chain with two providers."""
KILLS = {"kill_at_commit": 0.01, "kill_at_send": 0.2, "kill_while_writing": 0.1}

WATCHER = (
    one(
        "final at the head",
        "watcher/finality.py",
        "    return max(head - hard.confirmations + 1, -1)",
        "    return head",
        REORGS,
    ),
    one(
        "confirmed at the first confirmation",
        "watcher/finality.py",
        "    return view.cursor - wanted.confirmations + 1",
        "    return view.cursor",
        REORGS,
    ),
    one(
        "a reorg takes no payment back",
        "ledger/cursors.py",
        "    await take_back(tx, chain, ancestor.number, policy, touched)\n    await tx.conn",
        "    await tx.conn",
        REORGS,
    ),
    one(
        "a second provider is not listened to",
        "watcher/second_opinion.py",
        "    agreed, one_word = mine.holds & theirs.holds, mine.holds ^ theirs.holds\n",
        "    agreed, one_word = mine.holds | theirs.holds, mine.holds - mine.holds\n",
        {"rpc_forged": 0.5},
    ),
    one(
        "new addresses are not looked for",
        "watcher/effects.py",
        "    fresh = await addresses_above(tx, scan.known_index, _MOST_NEW)\n",
        "    fresh: list[DepositAddress] = []\n",
    ),
    one(
        "the cursor moves without its payments",
        "watcher/effects.py",
        "    recorded = await record_sightings(tx, work.sightings, house.policy, touched)",
        "    recorded = await record_sightings(tx, (), house.policy, touched)",
    ),
    Spoilt(
        "the proof is not compared",
        (
            Change(
                "chain/proofs/receipts.py",
                "    if root != fixed(block.receipts_root, 32):\n",
                "    if not root:\n",
            ),
            Change(
                "chain/proofs/receipts.py",
                "    if bloom != header.logs_bloom:\n",
                "    if not bloom:\n",
            ),
        ),
        {"receipts_proof": 1.0, "rpc_forged": 0.5},
        seeds=ALONE,
    ),
    one(
        "a rescan waits for a look without a new block",
        "watcher/service.py",
        "        due = self._reads_in_a_row >= _READS_BETWEEN_CHECKS\n",
        "        due = self._reads_in_a_row < 0\n",
        {"operator_rescans": 2.0},
    ),
    Spoilt(
        "tiers are asked of nobody",
        (
            Change(
                "watcher/finality.py",
                "        running[payment.merchant_id] += payment.micros\n",
                "        running[payment.merchant_id] += 0\n",
            ),
        ),
        seeds=TIERED,
    ),
)

LEDGER = (
    one(
        "a fee is rounded up",
        "ledger/payment_rules.py",
        "    return amount * fee_bps // 10_000",
        "    return -(-amount * fee_bps // 10_000)",
    ),
    one(
        "a void posts",
        "ledger/payment_moves.py",
        'f"{posting_key(r)}:credit", "void", reason="orphaned"',
        'f"{posting_key(r)}:credit", "post", reason="orphaned"',
        REORGS,
    ),
    one(
        "held money is credited",
        "ledger/payment_rules.py",
        "    if (token.chain, token.symbol) not in terms.options:",
        "    if token.symbol == token.chain:",
    ),
    one(
        "zero counts as a payment",
        "ledger/payment_rules.py",
        "    nothing = sighting.amount == 0 or sighting.sender == sighting.recipient",
        "    nothing = sighting.sender == sighting.recipient",
    ),
    one(
        "dust is credited",
        "ledger/payment_rules.py",
        "    if value < terms.dust:\n",
        "    if value < 0:\n",
    ),
    one(
        "dust is counted twice",
        "ledger/audit.py",
        "            sums[token.symbol] += row.total\n",
        "            sums[token.symbol] += 2 * row.total\n",
    ),
    one(
        "dust that left with its block is expected for ever",
        "ledger/audit.py",
        '    for (_, token_address), left in (await gone(tx, chain, ["dust"])).items():\n',
        "    for (_, token_address), left in ():\n",
        REORGS,
    ),
    Spoilt(
        "a repaid debt is repaid again",
        (
            Change(
                "ledger/receivables.py",
                "    for debt in await open_debts(tx, chain):\n        moved",
                "    for debt in 2 * await open_debts(tx, chain):\n        moved",
            ),
            Change(
                "ledger/receivables.py",
                "    owed = await owed_by(tx, debt.merchant_id, debt.chain, debt.token)\n",
                "    owed = debt.amount\n",
            ),
            Change(
                "ledger/receivables.py",
                "    repaid = min(has, balance(debt.receivable.kind, totals[debt.receivable]))\n",
                "    repaid = min(has, owed)\n",
            ),
        ),
        {"owner_withdraws": 2.0},
    ),
    one(
        "an outflow that is looked at again is covered again",
        "settlement/stopping.py",
        "    if await posted_keys(tx, [key]):\n",
        "    if await posted_keys(tx, []):\n",
        {"owner_withdraws": 2.0},
    ),
    one(
        "a payout draws nothing on the treasury",
        "ledger/payouts.py",
        "    await post(tx, [draw_of(row) for row in placed], fresh=True)",
        "    await post(tx, [])",
    ),
    one(
        "a promise reserves nothing",
        "ledger/payouts.py",
        "    await post(tx, [reserve_of(row) for row in rows], fresh=True)",
        "    await post(tx, [])",
    ),
    one(
        "a sweep does not tie its payments",
        "ledger/sweeps.py",
        '    update_rows(tx, payments, ties, ("sweep_item_id",))\n',
        '    update_rows(tx, payments, [], ("sweep_item_id",))\n',
    ),
    one(
        "a failed sweep is posted",
        "ledger/sweeps.py",
        "        failed = item.batch_index in failures\n",
        "        failed = False\n",
        {"token_paused_in_flight": 0.5},
    ),
    one(
        "a delivery is done whatever was answered",
        "gateway/webhooks/dispatcher.py",
        '        delivered=reply.outcome == "ok",',
        "        delivered=True,",
        {"webhook_fails": 0.3},
    ),
    one(
        "one key opens two invoices",
        "gateway/writing.py",
        'headers.get("Idempotency-Key")',
        'headers.get("Idempotency-None")',
        {**KILLS, "db_committed": 0.05},
    ),
)

PAYING = (
    tested("broadcast before persist"),
    tested("replacement saved after sending", {"slow_miner": 0.9, "fee_spike": 0.5}),
    tested("nonce held in memory only", KILLS),
    tested("send error taken for failure", {"send_unknown": 0.9}, seeds=ALONE),
    tested("fencing token unchecked", {"two_daemons": 1.0, "frozen_in_work": 0.01}),
    tested(
        "batch requeued under a new id after already executed",
        {"front_run": 1.0, "slow_miner": 0.3},
    ),
    tested("payout drawn on a sweep that is not final", REORGS),
    tested("derivation index taken from a restored database", {"restored": 1.0}),
    tested("a lost journal leaves no index out", {"restored_without_journal": 1.0}),
    tested(
        "what was imported since a backup is handed out again",
        {"restored_without_journal": 1.0, "cold_deposits": 1.0},
    ),
    tested(
        "one provider's word about a batch that ran is enough",
        {"call_lied": 0.3, "nonce_ahead": 0.3, "epoch_raised": 1.0, "front_run": 0.5},
    ),
    tested("an execution of a past epoch is left waiting", {"front_run": 1.0, "epoch_raised": 3.0}),
    tested("a refused commit leaves its connection in the pool", {"db_commit": 0.05}),
    one(
        "sent without a journal",
        "settlement/journaling.py",
        "    if ctx.journal is None or attempt.status is not TransactionStatus.SIGNED:",
        "    if ctx.journal is not None or attempt.status is not TransactionStatus.SIGNED:",
    ),
    one(
        "the chain says which nonce is next",
        "settlement/lanes/dispatch.py",
        "        nonce=lane.next_nonce, attempt=0, gas_limit=limit, fees=offer,",
        "        nonce=await d.ctx.client.nonce(d.lane.sender), attempt=0, gas_limit=limit,"
        " fees=offer,",
        REORGS,
    ),
    one(
        "mined is final",
        "settlement/lanes/finality.py",
        "    if receipt.block_number > cursor.final.number:\n        return False\n",
        "",
        REORGS,
    ),
    tested(
        "one provider's receipt is enough",
        {"receipt_bare": 0.3},
        seeds=(4012, 4021, 4037, 4048, 4062, 4065),
    ),
    one(
        "status 1 pays everybody",
        "settlement/finish.py",
        "        reason = outcome.failures.get(index)\n",
        "        reason = None\n",
        {"blacklisted_in_flight": 1.0},
    ),
    one(
        "what left a block is not sent again",
        "settlement/lanes/following.py",
        "        await _reorged(f, lost)\n        return",
        "        return",
        {"reorg_ours": 1.0, "reorg_forgotten": 0.5},
    ),
    one(
        "an authorization for another chain",
        "settlement/sweeps.py",
        "            ctx.chain.chain_id, ctx.contracts.forwarder, nonce",
        "            ctx.chain.chain_id + 1, ctx.contracts.forwarder, nonce",
    ),
    one(
        "one provider's word about a balance is a difference",
        "settlement/reconcile.py",
        "    return known if known in told else told[0]\n",
        "    return told[0]\n",
        {"call_lied": 0.5},
    ),
    one(
        "a gift is taken for a difference",
        "settlement/breaker.py",
        "return whole and all_, less_gifts(found, gifts)\n",
        "return whole and all_, found\n",
        {"gift": 2.0},
    ),
    one(
        "coin is gone when one provider shows no receipt",
        "settlement/receipts.py",
        "    other = client.second() if missing else None\n",
        "    other = None if missing else None\n",
        {"receipt_null": 0.5},
    ),
    Spoilt(
        "a foreign nonce does not halt",
        (
            Change(
                "settlement/lanes/following.py",
                "        if released is None or released < group[0].created_at:\n",
                "        if not reason:\n",
            ),
            Change(
                "settlement/lanes/dispatch.py",
                "    if d.lane.accept_nonce:\n",
                "    if nonce > d.lane.next_nonce or d.lane.accept_nonce:\n",
            ),
        ),
        {"foreign_nonce": 2.0},
    ),
    one(
        "a released lane halts for the same nonce again",
        "settlement/lanes/following.py",
        "        if released is None or released < group[0].created_at:\n",
        "        if reason:\n",
        {"foreign_nonce": 2.0},
    ),
    one(
        "a provider that stopped has a say in what is true now",
        "settlement/agreed.py",
        "    return Heard(None if since is None else await _in_step(told, since), _named(told))\n",
        "    return Heard(None, _named(told))\n",
        {"rpc_stopped": 1.0},
    ),
    one(
        "a provider without a receipt's block denies the receipt",
        "settlement/lanes/agreement.py",
        "        if theirs is None and await view.block(receipt.block_number) is None:\n",
        "        if receipt is None:\n",
        {"rpc_stopped": 1.0},
    ),
    one(
        "the batch id is used again",
        "ledger/batches.py",
        "    return 0 if highest is None else int(highest) + 1",
        "    return 0 if highest is None else int(highest)",
    ),
)

REFUNDING = {"merchant_refunds": 3.0}

MOVING = {"merchant_moves": 3.0, "merchant_moves_in_flight": 1.0}
GIVING = (
    one(
        "a refund is given of what is not confirmed",
        "ledger/refunded.py",
        '        payments.c.status == "confirmed",\n',
        "",
        {**REFUNDING, "reorg_deposit": 1.0, "reorg_drop": 0.5},
    ),
    one(
        "a canceled refund keeps its reservation",
        "ledger/payouts.py",
        "    if step.status in _OVER:\n        key",
        '    if step.status in _OVER and row["kind"] != "refund":\n        key',
        {**REFUNDING, "refunds_approved": 1.0},
    ),
    one(
        "a refund that waits is let go by nobody",
        "ledger/refunds.py",
        "    await move_payouts(tx, [PayoutMove(row, PayoutStatus.QUEUED) for row in rows])\n",
        "    rows = []\n",
        REFUNDING,
    ),
    one(
        "a payout that comes back is sealed for a revoked destination",
        "ledger/destinations.py",
        '    return not used and any(one["status"] == "revoked" for one in naming)\n',
        '    return not used and any(one["status"] == "nowhere" for one in naming)\n',
        {**MOVING, "epoch_raised": 10.0, "slow_miner": 0.7},
    ),
    one(
        "a revoked destination is paid what was promised",
        "ledger/destinations.py",
        "        await _cancel_unsent(tx, merchant_id, destination_id)\n",
        "        await get_destination(tx, merchant_id, destination_id)\n",
        {**MOVING, "token_paused": 0.5, "operator_pauses": 0.5},
    ),
    one(
        "a refund takes more than was paid",
        "ledger/refunds.py",
        "    left = {place: total - refunded.get(place, 0) for place, total in received.items()}",
        "    left = {place: 2 * total for place, total in received.items()}",
        REFUNDING,
    ),
    one(
        "a refund of somebody else's invoice",
        "ledger/refunds.py",
        "        invoices.c.id == invoice_id, invoices.c.merchant_id == merchant_id\n",
        "        invoices.c.id == invoice_id\n",
        REFUNDING,
    ),
)

GUARDED = (
    one(
        "a large payout asks nobody",
        "settlement/planning.py",
        "    large = threshold is not None and amount > threshold\n",
        "    large = False\n",
        {"payouts_approved": 1.0},
    ),
    one(
        "an address that waits for approval is paid",
        "settlement/planning.py",
        '        (chosen.status == "pending_approval", NOT_APPROVED),\n',
        "",
        {"destinations_approved": 1.0, "merchant_moves": 3.0},
    ),
    one(
        "what was paid today is not counted",
        "ledger/limits.py",
        '"queued", "batched", "submitted", "paid")',
        '"queued", "batched", "submitted")',
        {"limited": 1.0, "operator_runs": 10.0},
    ),
    one(
        "an operator lets go what the second person was asked about",
        "settlement/planning.py",
        "    return PlannedPayout(*place, amount, address, reason, waits=large)\n",
        "    return PlannedPayout(*place, amount, address, reason, waits=large and not over)\n",
        {"limited": 1.0, "payouts_approved": 1.0},
    ),
)

PENDING = {"webhook_fails": 0.5, "webhook_down": 0.3}
TOLD = (
    Spoilt(
        "what waits is still sent to a deleted endpoint",
        (
            Change(
                "ledger/webhooks.py",
                '    await give_up(tx, endpoint_id, "the endpoint was deleted")\n',
                "",
            ),
            Change(
                "ledger/deliveries.py",
                '    if endpoint.deleted_at is not None or endpoint.status != "enabled":\n',
                '    if endpoint.status != "enabled":\n',
            ),
        ),
        {**PENDING, "endpoint_changed": 3.0},
    ),
    one(
        "an endpoint that is gone stays enabled",
        "gateway/webhooks/dispatcher.py",
        '            gone = sorted({e.delivery.endpoint_id for e in group if e.reply.outcome == "gone"})\n',
        "            gone = []\n",
        {"endpoint_changed": 3.0},
    ),
    one(
        "an endpoint is told what it did not ask for",
        "ledger/outbox.py",
        "    return event_type in types\n",
        "    return event_type not in BY_REQUEST_ONLY\n",
        {"endpoint_changed": 3.0},
    ),
    one(
        "signed with the old secret only",
        "gateway/webhooks/dispatcher.py",
        "            sealed = (delivery.secret_encrypted, *delivery.replaced_secrets)\n",
        "            sealed = delivery.replaced_secrets or (delivery.secret_encrypted,)\n",
        {**PENDING, "secret_rotated": 3.0},
    ),
    one(
        "a secret that is replaced again is forgotten",
        "ledger/webhooks.py",
        '    kept = [Replaced(row["secret_encrypted"], tx.now + overlap), *before]\n',
        '    kept = [Replaced(row["secret_encrypted"], tx.now + overlap), *before[:0]]\n',
        {**PENDING, "secret_rotated": 3.0},
    ),
    one(
        "a revoked key is still taken",
        "ledger/api_keys.py",
        "        api_keys.c.key_hash == hash_key(key), api_keys.c.revoked_at.is_(None)\n",
        "        api_keys.c.key_hash == hash_key(key)\n",
        {"key_rotated": 3.0},
    ),
    Spoilt(
        "a key is looked at once, at the door",
        (
            Change(
                "gateway/writing.py",
                "    await still_admitted(call.request, tx, operation.who)\n",
                "",
            ),
        ),
        {"key_rotated": 10.0},
        seeds=(1, 5),
    ),
)

LISTED = {"merchant_refunds": 3.0, "customer_blacklisted": 1.0}

FROZEN = (
    one(
        "a token issuer's list is asked of nobody",
        "settlement/payouts.py",
        "        reasons |= dict.fromkeys(listed, BLACKLISTED)\n",
        "        reasons |= dict.fromkeys(set[int](), BLACKLISTED)\n",
        LISTED,
    ),
    one(
        "a refund that failed on chain is given up",
        "settlement/finish.py",
        "            moves.append(PayoutMove(sent, PayoutStatus.ON_HOLD, reason=reason))\n",
        "            moves.append(PayoutMove(sent, PayoutStatus.FAILED, reason=reason))\n",
        LISTED,
    ),
    one(
        "what failed on chain stays drawn on the treasury",
        "ledger/payouts.py",
        "    if drawn and step.status in (*_UNSENT, *_OVER):\n",
        "    if drawn and step.status in (PayoutStatus.QUEUED, *_OVER):\n",
        LISTED,
    ),
    one(
        "a fresh deposit address is swept although it is listed",
        "settlement/sweeps.py",
        "        if held >= deposits[index].amount and place not in listed\n",
        "        if held >= deposits[index].amount\n",
        {"deposit_blacklisted": 1.0},
    ),
    one(
        "it is swept into a treasury that is listed",
        "settlement/listed_treasury.py",
        "    return None if listed is not False else paused\n",
        "    return paused\n",
        {"treasury_blacklisted": 5.0},
    ),
)

MUTANTS: tuple[Spoilt, ...] = (*WATCHER, *LEDGER, *PAYING, *GIVING, *GUARDED, *TOLD, *FROZEN)
