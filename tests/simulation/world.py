"""One seed's world: built, lived in for some virtual days, calmed down, and judged."""

from __future__ import annotations

import asyncio
import contextvars
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from chain.helper_contracts import decode_batch_executed
from chain.model import TRANSFER_TOPIC
from config.units import Address
from gateway.webhooks.dispatcher import IDLE_SECONDS
from tests.simulation import guards, town
from tests.simulation.chain.batches import failed_in, meaning_of
from tests.simulation.chain.blocks import Block, SimChain
from tests.simulation.chain.evm import RawLog
from tests.simulation.chain.node import Node
from tests.simulation.chain.provider import Provider, SimTransport
from tests.simulation.chain.transactions import Tx, decode_raw
from tests.simulation.daemon import Edges, Running, start
from tests.simulation.edges import Mailbox, SimMoments, executor
from tests.simulation.faults import Faults
from tests.simulation.image import Books, Image, SqliteImage
from tests.simulation.image_postgres import PostgresImage, Server
from tests.simulation.machine.dice import Dice
from tests.simulation.machine.loop import PROCESS, Process, VirtualLoop
from tests.simulation.memory import Bill, ListKey, Memory, Merchant

TRACE_LENGTH = 4_000
RETRY, LOOKS_ROUND = 0.9, 3.0
"""Seconds below which a pause is one between two tries, and from which it is idle looking."""
BACKGROUND = 30.0
BESIDE = 6.0
"""Granularity of timers once nothing fails any more, where two daemons run: who leads renews its
lease in time. With a coarser one they would take it from each other at every look, for ever."""


@dataclass(frozen=True)
class Scale:
    """How much happens."""

    days: float = 0.5
    merchants: int = 2
    invoices: int = 6
    quiet_hours: float = 6.0
    slack: float | None = None
    """Seconds to which the daemon's timers are rounded while something moves; none: drawn."""


class World(Memory):
    """Holds everything; what happens in it is in :mod:`tests.simulation.life`."""

    def __init__(
        self, seed: int, loop: VirtualLoop, folder: Path, given: Mapping[str, float], scale: Scale,
        server: Server | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.seed, self.loop, self.folder, self.scale = seed, loop, folder, scale
        self.dice = Dice(seed)
        self.faults = Faults(self.dice, loop.time, given)
        self.plans = self._plans()
        self.poll = self.dice.pick("poll", ["2s", "6s", "12s"])
        schedule = self.dice.pick(
            "schedule", ["every 20m", "every 1h", "0 2 * * *", "30 */3 * * *"]
        )
        self.fee_bps = self.dice.pick("fee", [0, 30, 250])
        self.fees = {self.fee_bps}
        """Basis points that were ever in some merchant's terms."""
        self.deposit_kind = self._kind_of_deposits()
        self.guards = guards.drawn(self.faults)
        self.moments = SimMoments(self.faults, self._changed)
        self.database: Image = (
            PostgresImage(server, loop, self.moments) if server else SqliteImage(folder)
        )
        self.settings = town.settings_of(
            self.plans, folder, self.database.url, schedule=schedule, poll=self.poll, fee_bps=self.fee_bps,
            deposits=self.deposit_kind, guards=self.guards,
        )  # fmt: skip
        self.chains: dict[str, SimChain] = {}
        self.nodes: dict[str, Node] = {}
        self.providers: dict[str, Provider] = {}
        for plan in self.plans:
            self._add_chain(plan)
        self.mailbox = Mailbox(self.faults)
        self.transport = SimTransport(
            self.providers,
            self.faults,
            loop.time,
            victims=self._victims,
            before=self._before_request,
            after=self._after_request,
            stir=partial(self.stir, 0.0),
        )
        engine = partial(self.database.engine, moments=self.moments)
        self.edges = Edges(self.transport, self.mailbox, engine, self.slack)
        self.running: list[Running] = []
        self.starts = 0
        self.deaths = 0
        self.treasury = town.helpers().treasury
        self.over = asyncio.Event()
        """Set by the first violation: what comes after it proves nothing."""
        self.fine_slack = scale.slack or self.dice.pick("slack", [6.0, 9.0, 15.0, 24.0])
        self.idle_slack = 1800.0
        self.busy_until = 300.0
        self.on_commit: Any = lambda process: None
        self.on_block: Any = lambda chain, block: None
        """Told of each new block that has transactions."""
        self.on_payout: list[Callable[[str], None]] = []
        """Told of each payout batch that is sent for the first time."""
        self.on_broadcast: list[Callable[[str, Tx], None]] = []
        """Told of what is sent for the first time, before any node has it."""
        self.before_send: Callable[[], None] = lambda: None
        """Called before each broadcast."""
        self.on_restore: Any = lambda: None
        """Told when an older database has taken the image's place."""
        self.image = asyncio.Event()
        """Cleared while the database is lost: nothing can be started then."""
        self.image.set()
        self.trace: deque[str] = deque(maxlen=TRACE_LENGTH)
        self.loud = False
        self._fingerprint = blake2b(digest_size=8)
        self.counts: Counter[str] = Counter()
        keystore = town.keyring()[1] if self.deposit_kind == "hd" else town.keyless_keystore()
        (folder / "keystore.json").write_bytes(keystore)

    @property
    def books(self) -> Books:
        """The image, as another program reads it."""
        return self.database.books

    # --- building ----------------------------------------------------------------------

    def _kind_of_deposits(self) -> str:
        """As ``wallets.deposits`` has it."""
        if self.faults.strikes("keyless_deposits", "seed"):
            return "create2"
        if self.faults.strikes("cold_deposits", "seed"):
            self.faults.level["no_delegation"] = 0.0  # nothing signed offline is good there
            return "presigned"
        return "hd"

    def _plans(self) -> list[town.Plan]:
        dice = self.dice
        depth = dice.between("depth", 3, 8)
        first = town.Plan(
            "alpha", 777001, 2, {"confirmations": depth}, dice.between("providers|a", 1, 3), depth,
            proofs=self.faults.strikes("receipts_proof", "alpha"),
        )  # fmt: skip
        if dice.fixed("chains") % 3:
            return [first]
        tiers: tuple[Any, ...] = ()
        above = str(town.TIER_MICROS // 10**6)
        finality: Any = "finalized"
        if dice.fixed("tiers") % 2:
            finality, tiers = {"confirmations": 2}, ({"above": above, "finality": "finalized"},)
        second = town.Plan(
            "beta", 777002, 12, finality, dice.between("providers|b", 2, 3), 8, tiers,
            proofs=self.faults.strikes("receipts_proof", "beta"),
        )  # fmt: skip
        return [first, second]

    def _add_chain(self, plan: town.Plan) -> None:
        chain = town.make_chain(plan, self.faults)
        chain.on_block = lambda block: self._mined(plan.name, block)
        self.chains[plan.name] = chain
        stalled: dict[str, int] = {}

        def tag(name: str, tip: Block) -> int | None:
            depth = plan.depth if name == "finalized" else plan.depth // 2
            height = tip.number - depth
            if self.faults.holds("tag_stalls", plan.name, 600.0):
                height = min(height, stalled.get(name, height))
            stalled[name] = max(stalled.get(name, -1), height)
            return height if height >= 0 else None

        node = Node(chain, tag)
        self.nodes[plan.name] = node
        for number, url in enumerate(town.provider_urls(plan)):
            own = Node(chain, tag)
            if self.faults.strikes("rpc_small_range", url):
                own.longest_range = self.dice.between(f"range|{url}", 1, 50)
            own.gives_block_receipts = self.dice.fixed(f"block receipts|{url}") % 3 > 0
            first, several = number == 0, plan.providers > 1
            self.providers[url] = Provider(
                url, own, liar=first and several, forges=first and (several or plan.proofs)
            )

    # --- time --------------------------------------------------------------------------

    def now(self) -> float:
        return self.loop.time()

    def slack(self, seconds: float) -> float:
        """Timers are coarse while nothing is under way: so idle time costs nothing.

        What looks round every few seconds for the metrics' sake is coarse at any time; a
        pause before the next try is as long as it is.
        """
        if seconds < RETRY and seconds != IDLE_SECONDS:
            return 0.0
        if self.now() >= self.busy_until:
            return self.idle_slack
        if self.faults.calm and len(self.running) > 1:
            return min(self.fine_slack, BESIDE)
        return max(self.fine_slack, BACKGROUND) if seconds >= LOOKS_ROUND else self.fine_slack

    def stir(self, seconds: float = 60.0) -> None:
        """Something happens: timers become fine again, for a while at least."""
        self.busy_until = max(self.busy_until, self.now() + seconds)
        for running in self.running:
            running.clock.stir()

    def say(self, text: str) -> None:
        """Into the trace."""
        line = f"{self.now():12.3f} {text}"
        self._fingerprint.update(line.encode())
        self.trace.append(line)
        if self.loud:
            print(line, flush=True)

    @property
    def fingerprint(self) -> str:
        """Of everything that was traced: equal for equal histories."""
        return self._fingerprint.hexdigest()

    def violated(self, rule: str, text: str) -> None:
        """Something that must never happen has happened."""
        line = f"{rule}: {text}"
        if line not in self.violations and len(self.violations) < 20:
            self.violations.append(line)
            self.say(f"VIOLATION {line}")
            self.over.set()

    # --- the daemon --------------------------------------------------------------------

    def boot(self, slot: str) -> Running:
        """A new process over the same database image."""
        self.starts += 1
        running = start(slot, self.starts, self.seed, self.settings, town.secrets(), self.edges)
        running.process.executor = executor(
            running.process, self.faults, self.folder / "books.journal"
        )
        running.process.at_death.append(lambda: self._died(running))
        self.busy_until = max(self.busy_until, self.now() + 60.0)
        self.running.append(running)
        self.say(f"start {slot}.{self.starts}")
        return running

    def _died(self, running: Running) -> None:
        self.deaths += 1
        self.loop.graveyard.append(running)
        self.running.remove(running)
        for task in running.process.tasks:
            task._log_destroy_pending = False  # type: ignore[attr-defined]
        self.say(f"died {running.process.name}.{running.process.number}")

    def serving(self) -> Running | None:
        """A process that answers."""
        ready = [r for r in self.running if r.serves and not r.process.frozen]
        return ready[0] if ready else None

    def key_now(self, key: str) -> str:
        """Whatever has taken the place of a key."""
        while key in self.successors:
            key = self.successors[key]
        return key

    def replace_key(self, merchant: Merchant, key: str, key_id: str) -> None:
        """From now on whatever the merchant asks is asked with this one."""
        self.successors[merchant.key] = key
        merchant.key, merchant.key_id = key, key_id

    # --- what others see ---------------------------------------------------------------

    def _changed(self, process: Any) -> None:
        self.counts["commits"] += 1
        self.on_commit(process)

    def _mined(self, chain: str, block: Block) -> None:
        if not block.txs:
            return
        self.say(f"{chain} block {block.number} {block.hash.hex()[:8]} {len(block.txs)} txs")
        self.on_block(chain, block)
        for _, place, log in block.logs():
            event = decode_batch_executed(log, Address(self.treasury))
            if event is None:
                continue
            rows = self.books.execute(
                "SELECT p.id FROM payouts p JOIN batches b ON b.id = p.batch_id WHERE b.chain = ?"
                " AND b.epoch = ? AND b.onchain_id = ? ORDER BY p.batch_index",
                (chain, event.epoch, event.batch_id),
            ).fetchall()
            key = (chain, event.epoch, event.batch_id)
            failed = failed_in(block, place, Address(self.treasury))
            self.executions[key] = (
                block.txs[place].hash,
                [row["id"] for index, row in enumerate(rows) if index not in failed],
            )
            self.counts["payouts failed on chain"] += len(failed)
            self.say(f"{chain} batch {event.epoch}/{event.batch_id} ran: {len(rows)} payouts")
            self.pending_executions = True

    def known(self) -> set[bytes]:
        """Deposit addresses of the books: what was opened after a restored backup is lost."""
        rows = self.books.execute("SELECT address FROM deposit_addresses")
        return {row["address"] for row in rows} & set(self.by_address)

    def balance(self, chain: str, symbol: str, account: bytes) -> int:
        """Of a token, at the head."""
        slots = self.chains[chain].head.slots
        assert slots is not None
        return slots.get((town.token_address(symbol), "balance", account), 0)

    def is_listed(self, key: ListKey) -> bool:
        """Whether an address is on the list of a token's issuer, at the head."""
        chain, symbol, account = key
        slots = self.chains[chain].head.slots
        assert slots is not None
        return bool(slots.get((town.token_address(symbol), "listed", account), 0))

    def holds(self, chain: str, tx_hash: bytes) -> bool:
        """Whether a transaction is on the chain, in whichever block."""
        simulated = self.chains[chain]
        return any(
            tx.hash == tx_hash
            for block in simulated.with_txs
            if simulated.is_canonical(block)
            for tx in block.txs
        )

    def deposits(
        self, chain: str, known: Collection[bytes] | None = None
    ) -> Iterator[tuple[Block, RawLog]]:
        """Every canonical transfer of a registered token to one of our addresses, or of these."""
        ours = self.by_address if known is None else known
        simulated = self.chains[chain]
        tokens = {town.token_address(symbol) for symbol in town.REGISTERED}
        for block in simulated.with_txs:
            if not simulated.is_canonical(block):
                continue
            for _, _, log in block.logs():
                well_formed = len(log.topics) == 3 and len(log.data) == 32
                if log.address not in tokens or log.topics[0] != TRANSFER_TOPIC or not well_formed:
                    continue
                if log.topics[2][:12] == bytes(12) and log.topics[2][12:] in ours:
                    yield block, log

    def received(self, merchant: Merchant, chain: str, symbol: str) -> int:
        """What lies at a merchant's own addresses."""
        return sum(self.balance(chain, symbol, account) for account in merchant.paid_at(chain))

    def earned(
        self, merchant: Merchant, chain: str, symbol: str, known: Collection[bytes] | None = None
    ) -> int:
        """Everything that lies or lay at a merchant's addresses, or at these of his; canonical."""
        token = town.token_address(symbol)
        return sum(
            int.from_bytes(log.data)
            for _, log in self.deposits(chain, known)
            if log.address == token
            and self.by_address[log.topics[2][12:]].merchant == merchant.number
        )

    def brought_in(self, bill: Bill, chain: str, symbol: str) -> int:
        """What was paid to an invoice's address; canonical."""
        token = town.token_address(symbol)
        logs = (log for _, log in self.deposits(chain, {bill.address}))
        return sum(int.from_bytes(log.data) for log in logs if log.address == token)

    def customers(self, merchant: Merchant | None = None) -> list[bytes]:
        """Addresses at which refunds were asked for, by one merchant or any; not his own."""
        own = {a for m in self.merchants for a in m.homes()}
        found = {
            r.address for r in self.refunds if merchant is None or r.merchant == merchant.number
        }
        return sorted(found - own)

    def refunded(self, merchant: Merchant, chain: str, symbol: str) -> int:
        """What lies at the addresses of a merchant's customers."""
        return sum(self.balance(chain, symbol, a) for a in self.customers(merchant))

    def lost(self, merchant: Merchant, chain: str, symbol: str) -> int:
        """What a reorg below finality has taken from a merchant's addresses."""
        return sum(
            amount
            for (place, tx_hash), parts in self.taken.items()
            if place == chain and self.chains[chain].place_of(tx_hash) is None
            for number, token, amount in parts
            if (number, token) == (merchant.number, symbol)
        )

    def paid_by_hand(self, merchant: Merchant, chain: str, symbol: str) -> int:
        """What the treasury's owner sent to a merchant himself."""
        return sum(
            amount
            for (place, tx_hash), (number, token, amount) in self.withdrawals.items()
            if (place, number, token) == (chain, merchant.number, symbol)
            and self.chains[chain].succeeded(tx_hash)
        )

    def _victims(self, chain: str) -> list[tuple[bytes, bytes]]:
        token = town.token_address("USDC")
        return [(token, bill.address) for bill in self.bills[-5:] if bill.address]

    async def _before_request(self, method: str, params: list[Any], provider: Provider) -> None:
        await self._freeze_now(PROCESS.get())
        if method != "eth_sendRawTransaction":
            return
        process = PROCESS.get()
        self.before_send()
        raw = bytes.fromhex(params[0][2:])
        self._look_at_broadcast(provider.node.chain, raw)
        if process is not None and self.faults.strikes("kill_at_send", "before"):
            await process.die()

    async def _freeze_now(self, process: Process | None) -> None:
        """Stopped in the middle of its work, past its lease, and woken (SIGSTOP, SIGCONT)."""
        if process is None or not self.faults.strikes("frozen_in_work", process.name):
            return
        process.frozen = True
        self.say(f"frozen {process.name} in its work")
        wait = self.dice.seconds("frozen in work for", 5, 60)
        nobody = contextvars.Context()
        self.loop.call_later(wait, process.thaw, self.loop, context=nobody)
        await asyncio.sleep(0)

    async def _after_request(self, method: str, params: list[Any], provider: Provider) -> None:
        if method != "eth_sendRawTransaction":
            return
        process = PROCESS.get()
        if process is not None and self.faults.strikes("kill_at_send", "after"):
            await process.die()

    def _look_at_broadcast(self, chain: SimChain, raw: bytes) -> None:
        """I4: stored before it is sent; one nonce has one meaning for ever."""
        tx = decode_raw(raw, chain.chain_id)
        assert tx.nonce is not None
        stored = self.books.execute(
            "SELECT status, purpose FROM transactions WHERE raw = ?", (raw,)
        ).fetchone()
        if stored is None:
            self.violated("I4", f"sent before it was stored: nonce {tx.nonce} on {chain.name}")
        journal = self.folder / "books.journal"
        if tx.hash.hex().encode() not in journal.read_bytes().lower():
            self.violated("I4", f"sent before it was journaled: nonce {tx.nonce} on {chain.name}")
        self.counts["broadcasts"] += 1
        self.counts["sent by deposit addresses"] += tx.sender in self.by_address
        self.say(f"{chain.name} sent nonce {tx.nonce} {tx.hash.hex()[:8]}")
        attempts = self.sent.setdefault((chain.name, tx.sender, tx.nonce), {})
        unseen = not attempts
        attempts[tx.hash] = tx
        meanings = {meaning_of(other) for other in attempts.values()} - {"self"}
        if len(meanings) > 1:
            self.violated("I5", f"nonce {tx.nonce} on {chain.name} has two meanings: {meanings}")
        if unseen and meaning_of(tx).startswith("batch"):
            for told in self.on_payout:
                told(chain.name)
        if unseen:
            for hears in self.on_broadcast:
                hears(chain.name, tx)
