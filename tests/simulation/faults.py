"""Every fault by name, how likely it is, and whether it strikes now.

A seed draws which faults it has at all and how strong ("swarm"): a world in
which everything fails at once hides what one fault alone would show.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tests.simulation.machine.dice import Dice

FAULTS: Mapping[str, float] = {
    # a request to a provider
    "rpc_timeout": 0.02,  # f31: no answer in time
    "rpc_refused": 0.03,  # f08: connection broken
    "rpc_slow": 0.03,  # f31: up to 4 s
    "rpc_limited": 0.03,  # f08: 429 without Retry-After
    "rpc_limited_until": 0.02,  # f08: 429 with it
    "rpc_html": 0.02,  # f06: a page with status 200
    "rpc_cut": 0.02,  # f06: body cut off
    "rpc_error": 0.02,  # f08: 500
    "rpc_null": 0.02,  # f06: null for a block that is there
    "rpc_wrong_block": 0.02,  # f06: another height than asked
    "rpc_foreign_log": 0.02,  # f06: logs of another block
    "rpc_no_logs": 0.05,  # f05: [] where there are logs
    "rpc_some_logs": 0.02,  # f05: one of several left out, which no bloom shows
    "rpc_lag": 0.05,  # f03: a node behind the balancer that lags
    "rpc_old_branch": 0.5,  # f03: stays on the abandoned branch for a while, per reorg
    "rpc_down": 0.05,  # f09: one provider down, by ten minutes
    "rpc_all_down": 0.02,  # f09: all of them, by ten minutes
    "rpc_stopped": 0.1,  # f03: per chain: one of several stands still, and answers, to the very end
    "rpc_forged": 0.05,  # a deposit that never was, receipt and all; one provider at most
    "receipt_null": 0.02,  # f14: the same provider: no receipt of what is mined
    "receipt_bare": 0.02,  # f14: the same provider: a receipt with logs left out
    "nonce_stale": 0.05,  # f16: the same provider: the nonce of some blocks ago
    "nonce_ahead": 0.02,  # f16: the same provider: a nonce that is still to come
    "call_lied": 0.02,  # the same provider, to eth_call: flags, epochs and token balances
    "balance_lied": 0.02,  # the same provider: nothing, or far more native coin
    "code_lied": 0.02,  # the same provider: no code, or other code
    "rpc_small_range": 0.3,  # f07: per provider: ranges of few blocks only
    "send_unknown": 0.1,  # f14: an error, though it was taken
    "send_refused": 0.1,  # f14: an error, and it was not taken
    "send_lost": 0.05,  # f18: taken, then gone from every mempool
    # a chain
    "reorg": 0.3,  # f01: by ten minutes
    "reorg_deposit": 0.1,  # f01: takes back a block in which somebody paid, above finality
    "reorg_ours": 0.05,  # f01: takes back a block in which one of our transactions ran, above finality
    "reorg_back": 0.3,  # f01: of those, how many return to the first branch
    "reorg_drop": 0.1,  # a transaction leaves with its block, and is never seen again
    "reorg_forgotten": 0.1,  # f18: one of ours leaves with its block, and no mempool has it again
    "reorg_deep": 0.005,  # f02: below finality; an operator clears it
    "reorg_deep_lossy": 0.01,  # f02: per block in which somebody paid: it is lost after it was final
    "reorg_deep_repaired": 0.3,  # f02: of those, how many end: the first branch wins again
    "reorg_reorder": 0.2,  # f01: of reorgs, how many bring back transactions in another order
    "fee_spike": 0.05,  # f15: base fee × 100, by ten minutes
    "slow_miner": 0.1,  # a block does not take a transaction
    "chain_stops": 0.02,  # no block, by ten minutes
    "tag_stalls": 0.05,  # the finality tag stands still, by ten minutes
    "no_delegation": 0.15,  # per chain: no EIP-7702, deposit addresses send by themselves
    # no fault, another kind of installation
    "receipts_proof": 0.2,  # per chain: a block's receipts are proven by its hash
    "keyless_deposits": 0.15,  # per seed: deposit addresses are clones of a factory (CREATE2)
    "cold_deposits": 0.15,  # per seed, else: deposit addresses were signed offline, in small files
    "refunds_approved": 0.2,  # per seed: a second person decides about refunds
    "destinations_approved": 0.1,  # per seed: the same, about new payout addresses
    "payouts_approved": 0.1,  # per seed: the same, about large payouts
    "limited": 0.1,  # per seed: limits of a payout, a batch, a day, a merchant's day
    # the machine
    "kill": 0.0002,  # f13: at an await: a statement, a commit, a request
    "kill_at_commit": 0.0005,  # f13: between a commit and what follows
    "kill_at_send": 0.02,  # f13: before or after a broadcast
    "kill_while_writing": 0.02,  # the journal's last line is torn
    "db_begin": 0.0005,  # f12
    "db_statement": 0.0001,
    "db_commit": 0.001,  # and nothing was kept
    "db_committed": 0.001,  # though everything was kept
    "db_slow": 0.001,  # PostgreSQL: an answer under way for up to 3 s, locks held
    "clock_jump": 0.02,  # f26: by ten minutes, up to 90 s either way
    "frozen": 0.02,  # f19: stopped past its lease, then goes on, by ten minutes
    "frozen_in_work": 0.0002,  # f19: at a request
    "two_daemons": 0.25,  # f19: per seed
    "restored": 0.1,  # f20: per seed: the database of some hours ago
    "restored_without_journal": 0.05,  # f20: per seed: the journal is lost with it
    "foreign_nonce": 0.02,  # f18: somebody else uses a sponsor's key, by ten minutes
    "front_run": 0.1,  # per batch: a stranger takes it from the mempool, and is first
    "epoch_raised": 0.02,  # f18: signed batches die, by ten minutes
    # people and others
    "token_paused": 0.02,  # f21: by half an hour
    "token_paused_in_flight": 0.02,  # f21: per transaction of ours, before it runs
    "blacklisted": 0.05,  # f21: a merchant's destination, per merchant
    "blacklisted_in_flight": 0.1,  # f21: between the check and the block, per batch
    "customer_blacklisted": 0.1,  # f21: per refund: before it is asked for, promised, in flight
    "deposit_blacklisted": 0.02,  # f21: per payment: its address, then or while it is swept
    "treasury_blacklisted": 0.01,  # f21: by ten minutes, for some
    "owner_withdraws": 0.02,  # by ten minutes: the treasury's owner takes tokens, or pays by hand
    "owner_first": 0.02,  # per batch: he takes what it would pay, just before it runs
    "gift": 0.05,  # a stranger sends tokens straight to the treasury, by ten minutes
    "sponsor_empty": 0.1,  # f21: per seed: runs dry, is filled up again
    "merchant_refunds": 0.2,  # by ten minutes, per merchant: gives back what a customer paid
    "merchant_moves": 0.03,  # by ten minutes, per merchant: wants his money elsewhere
    "merchant_moves_in_flight": 0.05,  # the same, while a batch is under way, per batch
    "terms_changed": 0.03,  # by ten minutes, per merchant: schedule, minimum, fee, delay, reserve
    "debt_written_off": 0.1,  # by ten minutes: what merchants owe is given up
    "endpoint_changed": 0.03,  # by ten minutes, per merchant: one more, one less, another, 410
    "secret_rotated": 0.03,  # the same: an endpoint has another secret, once or twice
    "key_rotated": 0.03,  # the same: another API key, while somebody uses the old one
    "webhook_fails": 0.1,  # f27
    "webhook_slow": 0.02,
    "webhook_down": 0.05,  # f27: by ten minutes
    "operator_pauses": 0.05,  # by ten minutes, both ways
    "operator_rescans": 0.05,
    "operator_runs": 0.05,
}
UNREACHABLE = ("rpc_down", "rpc_all_down", "rpc_timeout", "rpc_refused", "rpc_stopped")
STATE = ("nonce_ahead", "call_lied", "balance_lied", "code_lied")
"""In one seed of four: where they lie, no provider may be out of reach."""
EXCLUSIVE = dict.fromkeys(("rpc_forged", "receipt_bare", *STATE), UNREACHABLE)
"""One provider's word counts where no other is alive: then a lie is believed, by design."""


@dataclass
class Faults:
    """What strikes in one seed.

    :param now: virtual seconds.
    :param given: probabilities from outside; others are drawn.
    """

    dice: Dice
    now: Callable[[], float]
    given: Mapping[str, float] = field(default_factory=dict)
    calm: bool = False
    """Set when the quiet period begins: nothing strikes any more."""
    struck: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        unknown = set(self.given) - set(FAULTS)
        if unknown:
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}")
        self.level = {name: self._level(name) for name in FAULTS}
        for name, others in EXCLUSIVE.items():
            if self.level[name] > 0:
                self.level.update(dict.fromkeys(others, 0.0))

    def _level(self, name: str) -> float:
        if name in self.given:
            return self.given[name]
        if name in STATE and self.dice.fixed("lies about state") % 4:
            return 0.0
        kind = self.dice.fixed(f"swarm|{name}") % 4
        return FAULTS[name] * (0.0, 0.0, 0.5, 2.0)[kind]

    def strikes(self, name: str, about: str) -> bool:
        """Whether it happens this time."""
        level = self.level[name]
        if level <= 0 or self.calm or not self.dice.chance(f"{name}|{about}", level):
            return False
        self.struck[name] += 1
        return True

    def holds(self, name: str, about: str, length: float) -> bool:
        """Whether it is so for the whole of this stretch of time."""
        level = self.level[name]
        if level <= 0 or self.calm:
            return False
        stretch = int(self.now() // length)
        if self.dice.fixed(f"{name}|{about}|{stretch}") >= level * 2**64:
            return False
        self.struck[name] += 1
        return True
