"""What must hold after every commit, read from the image as another program would."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from config.units import Hash32
from ledger.postings import DEBIT_NORMAL
from ledger.states import MACHINES
from settlement.leading import lease_name
from tests.simulation import town
from tests.simulation.chain.blocks import SimChain
from tests.simulation.checks.hooks import HookChecks
from tests.simulation.checks.sealing import Sealing
from tests.simulation.machine.loop import Process
from tests.simulation.world import World

Row = Any
BUSY = 150.0
"""Seconds for which timers stay fine after something has moved."""
PAYMENT = (
    "SELECT id, merchant_id, chain, token, tx_hash, ordinal, token_address, sender, recipient,"
    " amount, block_hash, block_number, is_final, status, reason, held FROM payments WHERE id = ?"
)
LEADERS = ("transactions", "batches")
"""Written by the leader of a chain's settlement alone."""
OVER = ("final", "reverted")
NEVER_BELOW = frozenset(
    (
        "receivable", "suspense_out", "suspense_in", "token_loss", "gas", "merchant", "payouts",
        "held", "fees", "treasury",
    )
)  # fmt: skip
"""Accounts of which nothing can be taken that is not there; the others follow the chain."""
MONEY = ("debits_pending", "debits_posted", "credits_pending", "credits_posted")


class StepChecks:
    """Follows the image's own log of changes, so that each commit costs what it changed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._statuses: dict[tuple[str, Any], str] = {}
        self._young: dict[str, Row] = {}
        """Confirmed payments that a reorg could still take from the chain."""
        self._classified: set[str] = set()
        self._cursors: dict[str, tuple[int, int]] = {}
        self._sealing = Sealing(world)
        self._hooks = HookChecks(world)
        self._holders: dict[str, tuple[tuple[str, int], Process]] = {}
        """By lease: owner with its fencing token, and the process that wrote itself in."""
        self.steps = 0

    def __call__(self, process: Process | None = None) -> None:
        """Look at what has changed since.

        :param process: whose commit it was.
        """
        self.steps += 1
        changes = self._world.database.changes()
        touched = {row["tbl"] for row in changes}
        if "accounts" in touched:
            self.postings()
        self.confirmed([row["id"] for row in changes if row["tbl"] == "payments"])
        self.transitions(changes)
        if process is not None:
            self.fenced(process, changes)
        if "transactions" in touched:
            self.nonces()
            ended = [r for r in changes if r["tbl"] == "transactions" and r["status"] in OVER]
            self.settled_late([row["id"] for row in ended])
        if "webhook_endpoints" in touched:
            self._hooks.changed(r["id"] for r in changes if r["tbl"] == "webhook_endpoints")
        if "api_keys" in touched:
            self._hooks.keys_changed(r["id"] for r in changes if r["tbl"] == "api_keys")
        self._sealing.look([row["id"] for row in changes if row["tbl"] == "batches"])
        self.cursors()
        if self._world.pending_executions:
            self._world.pending_executions = False
            paid_out(self._world)

    def begin_again(self) -> None:
        """An older database has taken the image's place: what it says now is where it stands."""
        books = self._world.books
        self._statuses = {
            (table, row["id"]): row["status"]
            for table in MACHINES
            for row in books.execute(f"SELECT id, status FROM {table}")
        }
        self._classified = {row["id"] for row in books.execute("SELECT id FROM payments")}
        confirmed = [p for (table, p), now in self._statuses.items() if now == "confirmed"]
        self._young = {p: books.execute(PAYMENT, (p,)).fetchone() for p in confirmed}
        self._cursors, self._holders = {}, {}
        self._hooks.begin_again()

    def postings(self) -> None:
        """I1: what is debited is credited, pending and posted, by chain and token; nobody has
        less than nothing, or owes it."""
        sums: dict[tuple[str, str], list[int]] = {}
        for row in self._world.books.execute("SELECT * FROM accounts"):
            total = sums.setdefault((row["chain"], row["token"]), [0, 0])
            values = [int(row[name]) for name in MONEY]
            surplus = (values[1] - values[3]) * (1 if row["kind"] in DEBIT_NORMAL else -1)
            if surplus < 0 and row["kind"] in NEVER_BELOW:
                text = f"{row['kind']} of {row['merchant_id']}, {row['token']} on {row['chain']}"
                self._world.violated("I1", f"{text}: {surplus}")
            total[0] += values[0] - values[2]
            total[1] += values[1] - values[3]
        for (chain, token), (pending, posted) in sums.items():
            if pending or posted:
                self._world.violated(
                    "I1", f"{token} on {chain}: {pending} pending, {posted} posted"
                )

    def confirmed(self, changed: list[str]) -> None:
        """I2: what is confirmed is on the canonical chain, deep enough, and as it is there."""
        world = self._world
        for payment in changed:
            row = world.books.execute(PAYMENT, (payment,)).fetchone()
            if row is not None and payment not in self._classified:
                self._classified.add(payment)
                self._asked_for(row)
            if row is not None and row["status"] == "confirmed":
                self._halted(row)
                self._young[payment] = row
            else:
                self._young.pop(payment, None)
        for payment, row in list(self._young.items()):
            plan = next(p for p in world.plans if p.name == row["chain"])
            if row["chain"] in world.forked:
                continue  # until an operator has cleared it, the books stand as they are
            if plan.tiers and not row["is_final"]:
                continue  # a tier credits earlier: a reorg above final takes it back
            if self._is_on_chain(row):
                chain = world.chains[row["chain"]]
                if chain.head.number - row["block_number"] > 3 * plan.depth:
                    del self._young[payment]
            else:
                world.violated("I2", f"payment {payment} is confirmed and not on the chain")
        self._exposed()

    def _halted(self, row: Row) -> None:
        """I7: nothing is credited on a chain that is halted."""
        if self._statuses.get(("payments", row["id"])) == "confirmed":
            return
        (reason,) = self._world.books.execute(
            "SELECT halted_reason FROM chain_cursors WHERE chain = ?", (row["chain"],)
        ).fetchone()
        if reason:
            self._world.violated("I7", f"payment {row['id']} is credited on a halted chain")

    def _asked_for(self, row: Row) -> None:
        """I2: as it enters, what moves nothing is ignored as that, and what no invoice asked
        for is on hold until an operator looks."""
        offered = self._world.by_address[row["recipient"]].options
        nothing = int(row["amount"]) == 0 or row["sender"] == row["recipient"]
        if row["reason"] != "malformed" and nothing != (row["reason"] == "zero_value"):
            self._world.violated("I2", f"payment {row['id']} of {row['amount']}: {row['reason']}")
        if row["token"] and row["reason"] not in ("malformed", "zero_value"):
            dust = int(row["amount"]) < 10 ** town.DECIMALS[row["token"]] // 1000
            if dust != (row["reason"] == "dust"):
                text = f"payment {row['id']} of {row['amount']} {row['token']}: {row['reason']}"
                self._world.violated("I2", text)
        wanted = (row["chain"], row["token"]) in offered
        if not wanted and row["status"] != "ignored" and not row["held"]:
            self._world.violated("I2", f"payment {row['id']} was not asked for and is credited")

    def _exposed(self) -> None:
        """I2: what is credited early, of one merchant on one chain, stays below the tier."""
        world = self._world
        early: dict[tuple[str, str], int] = {}
        for row in self._young.values():
            plan = next(p for p in world.plans if p.name == row["chain"])
            if not plan.tiers or row["is_final"]:
                continue
            key = (row["chain"], row["merchant_id"])
            scale = 10 ** (town.DECIMALS[row["token"]] - 6)
            early[key] = early.get(key, 0) + int(row["amount"]) // scale
        for (chain, merchant), micros in early.items():
            if micros > town.TIER_MICROS and not self._finalized(chain):
                text = f"{merchant} is credited {micros} micros on {chain} before they are final"
                world.violated("I2", text)

    def _finalized(self, chain: str) -> bool:
        """Whether everything young of it lies at or below the final block of the books."""
        (final,) = self._world.books.execute(
            "SELECT final_block FROM chain_cursors WHERE chain = ?", (chain,)
        ).fetchone()
        blocks = [r["block_number"] for r in self._young.values() if r["chain"] == chain]
        return all(block <= final for block in blocks)

    def _misses_something(self, chain: SimChain, cursor: int) -> bool:
        """Far behind the head, with something to see up there; nothing alone is not worth it."""
        if chain.head.number - cursor <= 50:
            return False
        newest = next((b for b in reversed(chain.with_txs) if chain.is_canonical(b)), None)
        return self._world.faults.calm or (newest is not None and newest.number > cursor)

    def _is_on_chain(self, row: Row) -> bool:
        chain = self._world.chains[row["chain"]]
        block = chain.place_of(row["tx_hash"])
        if block is None or block.hash != row["block_hash"]:
            return False
        place = next(i for i, tx in enumerate(block.txs) if tx.hash == Hash32(row["tx_hash"]))
        logs = block.results[place].logs
        if row["ordinal"] >= len(logs):
            return False
        log = logs[row["ordinal"]]
        return (
            log.address == row["token_address"]
            and len(log.topics) == 3
            and log.topics[2][12:] == row["recipient"]
            and int.from_bytes(log.data) == int(row["amount"])
        )

    def transitions(self, changes: list[Row]) -> None:
        """I6: no status that its machine does not lead to; nothing is ever deleted."""
        for row in changes:
            if row["tbl"] == "deleted":
                self._world.violated("I6", f"{row['id']} of {row['status']} was deleted")
            table, key = row["tbl"], (row["tbl"], row["id"])
            before, after = self._statuses.get(key), row["status"]
            if table not in MACHINES or before == after:
                continue
            if before is not None and after not in MACHINES[table][before]:
                self._world.violated("I6", f"{table} {row['id']}: {before} → {after}")
            self._statuses[key] = after
            self._world.stir(BUSY)
            if before is not None or table != "invoices":
                self._world.say(f"{table} {row['id']}: {before} → {after}")

    def fenced(self, process: Process, changes: list[Row]) -> None:
        """I5: what is sent and sealed is written by whoever holds the chain's lease by then."""
        books = self._world.books
        for row in books.execute("SELECT name, owner, fencing_token FROM leases"):
            now = (row["owner"], row["fencing_token"])
            if self._holders.get(row["name"], (None,))[0] != now:
                self._holders[row["name"]] = (now, process)
        for change in changes:
            if change["tbl"] not in LEADERS:
                continue
            (chain,) = books.execute(
                f"SELECT chain FROM {change['tbl']} WHERE id = ?", (change["id"],)
            ).fetchone()
            _, holder = self._holders.get(lease_name(chain), (None, process))
            if holder is not process:
                text = f"{change['tbl']} {change['id']} by {process.name}.{process.number}"
                self._world.violated("I5", f"{text}, led by {holder.name}.{holder.number}")

    def settled_late(self, changed: list[Any]) -> None:
        """I5: what is booked for good lies in a block that the books hold as final."""
        for transaction in changed:
            row = self._world.books.execute(
                "SELECT t.chain, t.nonce, t.block_number, c.final_block FROM transactions t"
                " JOIN chain_cursors c ON c.chain = t.chain WHERE t.id = ?",
                (transaction,),
            ).fetchone()
            if row is not None and row["block_number"] > row["final_block"]:
                text = f"nonce {row['nonce']} on {row['chain']}: block {row['block_number']}"
                self._world.violated("I5", f"{text} is booked, {row['final_block']} is final")

    def nonces(self) -> None:
        """I5: no nonce is skipped; on one nonce there is one batch."""
        rows = self._world.books.execute(
            "SELECT chain, sender, MIN(nonce) AS low, MAX(nonce) AS high,"
            " COUNT(DISTINCT nonce) AS used FROM transactions GROUP BY chain, sender"
        ).fetchall()
        for row in rows:
            missing = row["high"] - row["low"] + 1 - row["used"]
            if missing and missing != self._forgotten(row):
                self._world.violated("I5", f"a nonce of {row['sender'].hex()} was skipped")
        double = self._world.books.execute(
            "SELECT chain, nonce FROM transactions WHERE purpose NOT IN ('cancel', 'gap')"
            " GROUP BY chain, sender, nonce HAVING COUNT(DISTINCT batch_id) > 1"
        ).fetchall()
        for row in double:
            self._world.violated("I5", f"nonce {row['nonce']} on {row['chain']} has two batches")

    def _forgotten(self, row: Row) -> int:
        """Nonces between the lowest and the highest which a lost database and journal knew of, or
        somebody else used."""
        known = self._world.books.execute(
            "SELECT DISTINCT nonce FROM transactions WHERE chain = ? AND sender = ?",
            (row["chain"], row["sender"]),
        )
        place, books = (row["chain"], row["sender"]), {r["nonce"] for r in known}
        between = set(range(row["low"], row["high"])) - books
        known_to_us = self._world.sent_before.keys() | self._world.foreign.keys()
        return sum((*place, nonce) in known_to_us for nonce in between)

    def cursors(self) -> None:
        """I7: final never goes back, and is on the canonical chain."""
        world = self._world
        for row in world.books.execute("SELECT * FROM chain_cursors"):
            _, final = self._cursors.get(row["chain"], (0, -1))
            self._cursors[row["chain"]] = (row["cursor_block"], row["final_block"])
            if self._misses_something(world.chains[row["chain"]], row["cursor_block"]):
                world.stir(30.0)  # it has fallen behind: let it catch up
            if row["chain"] in world.forked:
                self._cursors[row["chain"]] = (row["cursor_block"], -1)
                continue
            if row["final_block"] < final:
                world.violated("I7", f"final of {row['chain']}: {final} → {row['final_block']}")
            if row["final_block"] != final:
                block = world.chains[row["chain"]].at(row["final_block"])
                if block is None or block.hash != row["final_hash"]:
                    world.violated("I7", f"block {row['final_block']} is final, not canonical")
            if row["halted_reason"]:
                world.violated("I7", f"{row['chain']} halted without a deep reorg")


def paid_out(world: World) -> None:
    """I3: no promise is carried out twice, whatever the books say of it."""
    seen: dict[str, tuple[str, int, int]] = {}
    for key, (tx_hash, payouts) in world.executions.items():
        if world.chains[key[0]].place_of(tx_hash) is None:
            continue  # it left the chain again
        for payout in payouts:
            other = seen.setdefault(payout, key)
            if other != key:
                world.violated("I3", f"payout {payout} ran in {other} and {key}")
    for merchant in world.merchants:
        for chain in merchant.destinations:
            for symbol in town.REGISTERED:
                received = world.received(merchant, chain, symbol)
                earned = world.earned(merchant, chain, symbol)
                earned += world.lost(merchant, chain, symbol)  # he owes it
                earned += world.paid_by_hand(merchant, chain, symbol)  # so he does that
                received += world.refunded(merchant, chain, symbol)
                if received > earned:
                    text = f"shop {merchant.number} got {received} {symbol}, earned {earned}"
                    world.violated("I3", text)
    given_back(world)


def given_back(world: World) -> None:
    """I3: a customer gets no more than he was promised, nor than his invoice brought in."""
    promised: dict[tuple[bytes, str, str], int] = defaultdict(int)
    for refund in world.refunds:
        if refund.id and not (refund.canceled and not world.forgot):
            promised[refund.address, refund.chain, refund.symbol] += refund.amount
    bills = {refund.address: refund.bill for refund in world.refunds}
    for customer in world.customers():
        for chain in world.chains:
            for symbol in town.REGISTERED:
                has = world.balance(chain, symbol, customer)
                if not has:
                    continue
                text = f"a customer of {bills[customer].invoice_id} has {has} {symbol} on {chain}"
                if has > promised[customer, chain, symbol]:
                    world.violated("I3", f"{text}, promised {promised[customer, chain, symbol]}")
                brought = world.brought_in(bills[customer], chain, symbol)
                if has > brought and not (world.taken or world.without_journal):
                    world.violated("I3", f"{text}, who paid {brought}")
