"""Treasury, collector, forwarder, tokens and senders, as ``chain/contracts`` has them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import coincurve
from eth_abi.abi import decode, encode
from eth_abi.exceptions import DecodingError
from eth_utils.crypto import keccak

from chain.abi import selector, topic
from chain.artifacts import load_artifact
from chain.helper_contracts import batch_digest
from chain.model import TRANSFER_TOPIC
from config.units import Address
from tests.simulation.chain.evm import NOBODY, Frame, Machine, Revert
from wallets.create2 import clone_code

CALL_GAS = 250_000
GAS_AFTER_FAILURE = CALL_GAS * 64 // 63 + 20_000
REASON_LIMIT = 196
CREATION_GAS = 44_000
CREATION_HEAD = bytes.fromhex("3d602d80600a3d3981f3")
TOP_INDEX = 2**32 - 1
FORWARDED = bytes(keccak(text="bursar.forwarder.1.forwarded"))
HALF_ORDER = 0x7FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF5D576E7357A4501DDFE92F46681B20A0
TRUE = (1).to_bytes(32)


def word(value: int | bytes) -> bytes:
    return value.rjust(32, b"\0") if isinstance(value, bytes) else value.to_bytes(32)


def error(text: str) -> bytes:
    """``Error(string)``."""
    return selector("Error(string)") + bytes(encode(["string"], [text]))


def arguments(frame: Frame, types: Sequence[str]) -> list[object]:
    """ABI-decoded; what does not decode reverts without a word, as Solidity's decoder does."""
    if frame.value:
        raise Revert
    try:
        values = decode(list(types), frame.data[4:])
    except (DecodingError, OverflowError, UnicodeDecodeError):
        raise Revert from None
    return [
        bytes.fromhex(v[2:]) if t == "address" else v for t, v in zip(types, values, strict=True)
    ]


def require_code(vm: Machine, token: bytes) -> None:
    if not vm.shown_code(token):
        raise Revert(selector("NoTokenCode(address)") + word(token))


def entries_of(packed: bytes) -> list[tuple[bytes, int]]:
    if not packed or len(packed) % 32:
        raise Revert(selector("MalformedEntries()"))
    return [
        (packed[at : at + 20], int.from_bytes(packed[at + 20 : at + 32]))
        for at in range(0, len(packed), 32)
    ]


def require_gas_after_failure(vm: Machine) -> None:
    if vm.gas_left() < GAS_AFTER_FAILURE:
        raise Revert(selector("NotEnoughGas()"))


def simulated(failures: list[tuple[int, bytes]]) -> Revert:
    data = bytes(encode(["(uint256,bytes)[]"], [failures]))
    return Revert(selector("Simulated((uint256,bytes)[])") + data)


class Token:
    """``TestToken``: transfer, mint, balances; children say how they pay and refuse."""

    answers = TRUE

    def __init__(self, name: str, symbol: str, decimals: int) -> None:
        self.name, self.symbol, self.decimals = name, symbol, decimals

    def run(self, vm: Machine, frame: Frame) -> bytes:
        kind = frame.data[:4]
        if kind == selector("transfer(address,uint256)"):
            to, amount = arguments(frame, ["address", "uint256"])
            return self.transfer(vm, frame.me, frame.caller, to, amount)
        if kind == selector("balanceOf(address)"):
            (account,) = arguments(frame, ["address"])
            return word(vm.get(frame.me, "balance", account))
        if kind == selector("mint(address,uint256)"):
            to, amount = arguments(frame, ["address", "uint256"])
            self._credit(vm, frame.me, to, amount)
            vm.log(frame.me, (TRANSFER_TOPIC, word(NOBODY), word(to)), word(amount))
            return b""
        if kind == selector("transferFrom(address,address,uint256)"):
            source, to, amount = arguments(frame, ["address", "address", "uint256"])
            return self.transfer_from(vm, frame, source, to, amount)
        if kind == selector("decimals()"):
            return word(self.decimals)
        if kind == selector("symbol()"):
            return bytes(encode(["string"], [self.symbol]))
        return self.more(vm, frame, kind)

    def more(self, vm: Machine, frame: Frame, kind: bytes) -> bytes:
        raise Revert

    def transfer(self, vm: Machine, me: bytes, source: bytes, to: bytes, amount: int) -> bytes:
        self.move(vm, me, source, to, amount)
        return self.answers

    def transfer_from(
        self, vm: Machine, frame: Frame, source: bytes, to: bytes, amount: int
    ) -> bytes:
        if amount:
            raise Revert(error("ERC20: transfer amount exceeds allowance"))
        return self.transfer(vm, frame.me, source, to, 0)

    def _credit(self, vm: Machine, me: bytes, to: bytes, amount: int) -> None:
        total = vm.get(me, "balance", to) + amount
        if total >> 256:
            raise Revert(selector("Panic(uint256)") + word(0x11))
        vm.put(total, me, "balance", to)

    def move(self, vm: Machine, me: bytes, source: bytes, to: bytes, amount: int) -> None:
        vm.gas += 25_000
        held = vm.get(me, "balance", source)
        if held < amount:
            raise Revert(error("ERC20: transfer amount exceeds balance"))
        vm.put(held - amount, me, "balance", source)
        self._credit(vm, me, to, amount)
        vm.log(me, (TRANSFER_TOPIC, word(source), word(to)), word(amount))


class UsdcLike(Token):
    """Pausable; refuses listed senders and recipients."""

    def more(self, vm: Machine, frame: Frame, kind: bytes) -> bytes:
        if kind == selector("paused()"):
            return word(vm.get(frame.me, "paused"))
        if kind == selector("isBlacklisted(address)"):
            (account,) = arguments(frame, ["address"])
            return word(vm.get(frame.me, "listed", account))
        if kind == selector("setPaused(bool)"):
            (value,) = arguments(frame, ["bool"])
            vm.put(int(bool(value)), frame.me, "paused")
            return b""
        for name, event, value in (
            ("blacklist", "Blacklisted", 1),
            ("unBlacklist", "UnBlacklisted", 0),
        ):
            if kind == selector(f"{name}(address)"):
                (account,) = arguments(frame, ["address"])
                vm.put(value, frame.me, "listed", account)
                vm.log(frame.me, (topic(f"{event}(address)"), word(account)), b"")
                return b""
        raise Revert

    def move(self, vm: Machine, me: bytes, source: bytes, to: bytes, amount: int) -> None:
        if vm.get(me, "paused"):
            raise Revert(error("Pausable: paused"))
        if vm.get(me, "listed", source) or vm.get(me, "listed", to):
            raise Revert(error("Blacklistable: account is blacklisted"))
        super().move(vm, me, source, to, amount)


class UsdtLike(Token):
    """Answers nothing; refuses listed senders, pays listed recipients."""

    answers = b""

    def more(self, vm: Machine, frame: Frame, kind: bytes) -> bytes:
        if kind == selector("paused()"):
            return word(vm.get(frame.me, "paused"))
        if kind == selector("isBlackListed(address)"):
            (account,) = arguments(frame, ["address"])
            return word(vm.get(frame.me, "listed", account))
        if kind == selector("setPaused(bool)"):
            (value,) = arguments(frame, ["bool"])
            vm.put(int(bool(value)), frame.me, "paused")
            return b""
        for name, event, value in (
            ("addBlackList", "AddedBlackList", 1),
            ("removeBlackList", "RemovedBlackList", 0),
        ):
            if kind == selector(f"{name}(address)"):
                (account,) = arguments(frame, ["address"])
                vm.put(value, frame.me, "listed", account)
                vm.log(frame.me, (topic(f"{event}(address)"),), word(account))
                return b""
        raise Revert

    def transfer(self, vm: Machine, me: bytes, source: bytes, to: bytes, amount: int) -> bytes:
        if vm.get(me, "paused"):
            raise Revert(error("paused"))
        if vm.get(me, "listed", source):
            raise Revert(error("blacklisted sender"))
        return super().transfer(vm, me, source, to, amount)


class Forwarder:
    """What deposit accounts delegate to, and clones run."""

    def __init__(self, collector: bytes) -> None:
        self.collector = collector
        self.runtime = load_artifact("Forwarder").runtime_with(Address(collector))

    def run(self, vm: Machine, frame: Frame) -> bytes:
        if not frame.data:
            return b""  # receive()
        if frame.data[:4] == selector("collector()"):
            return word(self.collector)
        if frame.data[:4] != selector("forward(address,address,uint256)"):
            raise Revert
        token, to, amount = arguments(frame, ["address", "address", "uint256"])
        if frame.caller != self.collector:
            raise Revert(selector("NotCollector()"))
        if token == NOBODY:
            done, answer = vm.call(frame.me, to, amount, b"")
        else:
            data = selector("transfer(address,uint256)") + word(to) + word(amount)
            done, answer = vm.call(frame.me, token, 0, data)
            if done and answer and not (len(answer) > 31 and int.from_bytes(answer[:32]) == 1):
                raise Revert(selector("TransferRefused()"))
        if not done:
            raise Revert(answer)
        return FORWARDED


class DepositFactory:
    """Creates deposit addresses that have no key: clones of the forwarder."""

    def __init__(self, me: bytes, forwarder: bytes) -> None:
        self.forwarder = forwarder
        self.runtime = load_artifact("DepositFactory").runtime_with(Address(forwarder))
        creation = keccak(CREATION_HEAD + clone_code(Address(forwarder)))
        self._before, self._after = b"\xff" + me, bytes(creation)

    def run(self, vm: Machine, frame: Frame) -> bytes:
        kind = frame.data[:4]
        if kind == selector("forwarder()"):
            return word(self.forwarder)
        if kind == selector("addressOf(uint256)"):
            (index,) = arguments(frame, ["uint256"])
            return word(self._address(self._checked(index)))
        if kind == selector("create(uint256[])"):
            (indexes,) = arguments(frame, ["uint256[]"])
            for index in indexes:
                self._ensure(vm, frame.me, self._checked(index))
            return b""
        if kind == selector("forward(address,address,uint256)"):
            _, _, packed = arguments(frame, ["address", "address", "uint256"])
            while packed:
                if packed & TOP_INDEX:
                    self._ensure(vm, frame.me, (packed & TOP_INDEX) - 1)
                packed >>= 32
            return FORWARDED
        raise Revert

    def _address(self, index: int) -> bytes:
        """EIP-1014; the model's own, up to the contract's last index."""
        return bytes(keccak(self._before + word(index) + self._after)[12:])

    @staticmethod
    def _checked(index: int) -> int:
        if index >= TOP_INDEX:
            raise Revert(selector("IndexTooHigh()"))
        return index

    def _ensure(self, vm: Machine, me: bytes, index: int) -> None:
        account = self._address(index)
        if not vm.shown_code(account):
            vm.gas += CREATION_GAS
            vm.put(int.from_bytes(self.forwarder), "clone", account)
            vm.put(1, "nonce", account)
            vm.add(1, "nonce", me)


class Collector:
    """Sweeps deposit accounts into its sink."""

    def __init__(self, owner: bytes, sweeper: bytes, sink: bytes) -> None:
        self.owner, self.sweeper, self.sink = owner, sweeper, sink

    def run(self, vm: Machine, frame: Frame) -> bytes:
        kind = frame.data[:4]
        if kind == selector("sink()"):
            return word(self.sink)
        if kind == selector("announcedSink()"):
            return word(NOBODY)
        if kind == selector("sweeper()"):
            return word(self.sweeper)
        if kind == selector("simulate(address,bytes)"):
            token, packed = arguments(frame, ["address", "bytes"])
            raise simulated(list(self._failures(vm, frame.me, token, packed)))
        if kind == selector("sweep(address,bytes)"):
            token, packed = arguments(frame, ["address", "bytes"])
            if frame.caller != self.sweeper:
                raise Revert(selector("NotSweeper()"))
            return word(self._sweep(vm, frame.me, token, packed))
        if kind == selector("sweepMany(address[],bytes[])"):
            tokens, lists = arguments(frame, ["address[]", "bytes[]"])
            if frame.caller != self.sweeper:
                raise Revert(selector("NotSweeper()"))
            if len(tokens) != len(lists):
                raise Revert(selector("LengthsDiffer()"))
            pairs = zip(tokens, lists, strict=True)
            return word(sum(self._sweep(vm, frame.me, bytes.fromhex(t[2:]), p) for t, p in pairs))
        raise Revert

    def _failures(
        self, vm: Machine, me: bytes, token: bytes, packed: bytes
    ) -> Iterator[tuple[int, bytes]]:
        entries = entries_of(packed)
        if token != NOBODY:
            require_code(vm, token)
        for index, (account, amount) in enumerate(entries):
            data = selector("forward(address,address,uint256)")
            data += word(token) + word(self.sink) + word(amount)
            done, answer = vm.call(me, account, 0, data)
            if not (done and answer == FORWARDED):
                require_gas_after_failure(vm)
                yield index, answer[:REASON_LIMIT]

    def _sweep(self, vm: Machine, me: bytes, token: bytes, packed: bytes) -> int:
        failed = 0
        entries = entries_of(packed)
        for index, reason in self._failures(vm, me, token, packed):
            failed += 1
            account, amount = entries[index]
            values = encode(
                ["uint256", "address", "uint256", "bytes"], [index, account, amount, reason]
            )
            name = "SweepFailed(address,uint256,address,uint256,bytes)"
            vm.log(me, (topic(name), word(token)), bytes(values))
        vm.log(
            me,
            (topic("Swept(address,address,uint256,uint256)"), word(token), word(self.sink)),
            word(len(entries)) + word(failed),
        )
        return failed


class Treasury:
    """Pays signed batches, each id once per epoch."""

    def __init__(self, owner: bytes, signer: bytes) -> None:
        self.owner, self.signer = owner, signer

    def run(self, vm: Machine, frame: Frame) -> bytes:
        kind = frame.data[:4]
        if not frame.data:
            return b""  # receive()
        if kind == selector("epoch()"):
            return word(vm.get(frame.me, "epoch"))
        if kind == selector("signer()"):
            return word(self.signer)
        if kind == selector("executed(uint64,uint256)"):
            epoch, batch_id = arguments(frame, ["uint64", "uint256"])
            return word(vm.get(frame.me, "executed", epoch, batch_id))
        if kind == selector("simulate(address,bytes)"):
            token, packed = arguments(frame, ["address", "bytes"])
            raise simulated(list(self._failures(vm, frame.me, token, packed)))
        if kind == selector("payBatch(uint64,uint256,address,bytes,bytes)"):
            return self._pay_batch(vm, frame)
        if kind == selector("raiseEpoch(uint64)"):
            (wanted,) = arguments(frame, ["uint64"])
            if frame.caller != self.owner:
                raise Revert(selector("NotOwner()"))
            if wanted != vm.get(frame.me, "epoch") + 1:
                raise self._wrong_epoch(vm, frame.me)
            vm.put(wanted, frame.me, "epoch")
            vm.log(frame.me, (topic("EpochRaised(uint64)"),), word(wanted))
            return b""
        if kind == selector("withdraw(address,address,uint256)"):
            return self._withdraw(vm, frame)
        raise Revert

    def _withdraw(self, vm: Machine, frame: Frame) -> bytes:
        """Of tokens alone: nobody takes native coin out of it here."""
        token, to, amount = arguments(frame, ["address", "address", "uint256"])
        if frame.caller != self.owner:
            raise Revert(selector("NotOwner()"))
        if to == NOBODY:
            raise Revert(selector("ZeroAddress()"))
        require_code(vm, token)
        data = selector("transfer(address,uint256)") + word(to) + word(amount)
        done, answer = vm.call(frame.me, token, 0, data)
        paid = not answer or (len(answer) == 32 and int.from_bytes(answer) == 1)
        if not (done and paid):
            raise Revert(selector("WithdrawalFailed(bytes)") + bytes(encode(["bytes"], [answer])))
        vm.log(
            frame.me,
            (topic("Withdrawn(address,address,uint256)"), word(token), word(to)),
            word(amount),
        )
        return b""

    @staticmethod
    def _wrong_epoch(vm: Machine, me: bytes) -> Revert:
        return Revert(selector("WrongEpoch(uint64)") + word(vm.get(me, "epoch")))

    def _failures(
        self, vm: Machine, me: bytes, token: bytes, packed: bytes
    ) -> Iterator[tuple[int, bytes]]:
        entries = entries_of(packed)
        require_code(vm, token)
        for index, (recipient, amount) in enumerate(entries):
            data = selector("transfer(address,uint256)") + word(recipient) + word(amount)
            done, answer = vm.call(me, token, 0, data)
            paid = not answer or (len(answer) > 31 and int.from_bytes(answer[:32]) == 1)
            if not (done and paid):
                require_gas_after_failure(vm)
                yield index, answer[:REASON_LIMIT]

    def _pay_batch(self, vm: Machine, frame: Frame) -> bytes:
        types = ["uint64", "uint256", "address", "bytes", "bytes"]
        epoch, batch_id, token, packed, signature = arguments(frame, types)
        entries = entries_of(packed)
        require_code(vm, token)
        if epoch != vm.get(frame.me, "epoch"):
            raise self._wrong_epoch(vm, frame.me)
        content = bytes(keccak(packed))
        digest = batch_digest(vm.chain_id, frame.me, epoch, batch_id, token, content)
        vm.gas += 15_000
        if recovered(digest, signature) != self.signer:
            raise Revert(selector("BadSignature()"))
        if vm.get(frame.me, "executed", epoch, batch_id):
            raise Revert(selector("AlreadyExecuted(uint64,uint256)") + word(epoch) + word(batch_id))
        vm.put(1, frame.me, "executed", epoch, batch_id)
        failed = 0
        for index, reason in self._failures(vm, frame.me, token, packed):
            failed += 1
            recipient, amount = entries[index]
            values = encode(
                ["uint256", "address", "uint256", "bytes"], [index, recipient, amount, reason]
            )
            name = "PayoutFailed(uint64,uint256,uint256,address,uint256,bytes)"
            vm.log(frame.me, (topic(name), word(epoch), word(batch_id)), bytes(values))
        vm.log(
            frame.me,
            (
                topic("BatchExecuted(uint64,uint256,address,bytes32,uint256)"),
                word(epoch),
                word(batch_id),
                word(token),
            ),
            content + word(failed),
        )
        return word(failed)


def recovered(digest: bytes, signature: bytes) -> bytes | None:
    """Who signed (r, s, v); ``None`` for what the contract refuses."""
    if len(signature) != 65 or int.from_bytes(signature[32:64]) > HALF_ORDER:
        return None
    parity = signature[64] - 27
    if parity not in (0, 1):
        return None
    return signer_of(digest, signature[:64] + bytes([parity]))


def signer_of(digest: bytes, signature: bytes) -> bytes | None:
    """The account behind r, s and parity (65 bytes); ``None`` for nonsense."""
    try:
        key = coincurve.PublicKey.from_signature_and_message(signature, digest, hasher=None)
    except (ValueError, Exception):  # noqa: BLE001 - coincurve raises its own bare Exception
        return None
    return bytes(keccak(key.format(compressed=False)[1:])[12:])


class Disperser:
    """Pays many in one transaction, like an exchange."""

    def run(self, vm: Machine, frame: Frame) -> bytes:
        if not frame.data:
            return b""
        if frame.data[:4] != selector("disperse(address,address[],uint256[])"):
            raise Revert
        token, accounts, amounts = arguments(frame, ["address", "address[]", "uint256[]"])
        if not vm.shown_code(token):
            raise Revert
        for account, amount in zip(accounts, amounts, strict=True):
            to = bytes.fromhex(account[2:])
            data = selector("transfer(address,uint256)") + word(to) + word(amount)
            done, answer = vm.call(frame.me, token, 0, data)
            if not done:
                raise Revert(answer)
        return b""


class Poisoner:
    """Logs that look like transfers."""

    symbol, decimals = "USDC", 6

    def run(self, vm: Machine, frame: Frame) -> bytes:
        kind = frame.data[:4]
        if kind == selector("fake(address,address,uint256)"):
            source, to, value = arguments(frame, ["address", "address", "uint256"])
            vm.log(frame.me, (TRANSFER_TOPIC, word(source), word(to)), word(value))
            return b""
        if kind == selector("poison(address,address,address[])"):
            token, source, accounts = arguments(frame, ["address", "address", "address[]"])
            if not vm.shown_code(token):
                raise Revert
            for account in accounts:
                to = bytes.fromhex(account[2:])
                data = selector("transferFrom(address,address,uint256)")
                done, answer = vm.call(frame.me, token, 0, data + word(source) + word(to) + word(0))
                if not done:
                    raise Revert(answer)
            return b""
        if kind == selector("malformed(uint256,address,address,uint256)"):
            shape, source, to, value = arguments(
                frame, ["uint256", "address", "address", "uint256"]
            )
            self._malformed(vm, frame.me, shape, word(source), word(to), value)
            return b""
        raise Revert

    @staticmethod
    def _malformed(
        vm: Machine, me: bytes, shape: int, source: bytes, to: bytes, value: int
    ) -> None:
        t, v = TRANSFER_TOPIC, word(value)
        dirty = (int.from_bytes(to) | 1 << 160).to_bytes(32)
        shapes = {
            0: ((t,), v),
            1: ((t, source), v),
            2: ((t, source, to), b""),
            3: ((t, source, to), v[:31]),
            4: ((t, source, to), v + b"\0"),
            5: ((t, source, to, v), b""),
            6: ((t, source, dirty), v),
        }
        if shape in shapes:
            vm.log(me, *shapes[shape])
