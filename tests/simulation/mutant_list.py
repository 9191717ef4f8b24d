"""Faults that somebody could write, in watcher, ledger and transaction manager."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.mutants.model import Change

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
        return 3 if "reorg_deposit" in self.faults else 12


def one(name: str, file: str, old: str, new: str, faults: Mapping[str, float] = NOTHING) -> Spoilt:
    """A mutant of one change."""
    return Spoilt(name, (Change(file, old, new),), faults)


REORGS = {"reorg_deposit": 1.0, "reorg_drop": 0.3}
TIERED = (1008, 1010, 1011, 1012, 1014, 1039, 1040, 1060, 1063, 1065, 1075, 1079, 1081, 1083)
"""Seeds whose second chain has tiers."""
SEND = {"send_unknown": 0.3, "send_refused": 0.2}
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
        "    agreed, one_word = mine & theirs, mine ^ theirs\n",
        "    agreed, one_word = mine | theirs, mine - mine\n",
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
        {"token_paused": 0.5, "reorg": 3.0, "reorg_deposit": 0.5, "reorg_drop": 0.5},
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
    Spoilt(
        "broadcast before persist",
        (
            Change(
                "settlement/lanes/dispatch.py",
                "    try:\n        async with d.ctx.ledger.transaction() as tx:\n            # P2.",
                "    await d.ctx.client.send_raw(new.raw)\n"
                "    try:\n        async with d.ctx.ledger.transaction() as tx:\n            # P2.",
            ),
        ),
    ),
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
    Spoilt(
        "one provider's receipt is enough",
        (
            Change(
                "settlement/lanes/agreement.py",
                "    if not differing:\n        return True\n",
                "    return True\n",
            ),
        ),
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
        REORGS,
    ),
    one(
        "a new payout for an unknown send",
        "settlement/lanes/sending.py",
        "PayoutMove(row, PayoutStatus.SUBMITTED, tx_hash=attempt.tx_hash)",
        "PayoutMove(row, PayoutStatus.QUEUED if (reason or '').startswith('unknown')"
        " else PayoutStatus.SUBMITTED, tx_hash=attempt.tx_hash)",
        SEND,
    ),
    one(
        "an authorization for another chain",
        "settlement/sweeps.py",
        "            ctx.chain.chain_id, ctx.contracts.forwarder, nonce",
        "            ctx.chain.chain_id + 1, ctx.contracts.forwarder, nonce",
    ),
    one(
        "the batch id is used again",
        "ledger/batches.py",
        "    return 0 if highest is None else int(highest) + 1",
        "    return 0 if highest is None else int(highest)",
    ),
    one(
        "a lease is not checked",
        "ledger/leases.py",
        '    if not held or held[0]["expires_at"] <= tx.now:\n',
        "    if lease.name is None:\n",
        {"two_daemons": 1.0, "frozen_in_work": 0.01},
    ),
)

MUTANTS: tuple[Spoilt, ...] = (*WATCHER, *LEDGER, *PAYING)
