"""Node and provider errors to our classes: a table of their real wordings.

Rows are tried in order; the first that matches wins. The names in the comments
say where a wording was seen, and each has its row in the tests. Wordings that
nobody here knows become :class:`NodeError`, which another provider may answer.
"""

from __future__ import annotations

import re
from typing import Final

from chain.rpc.errors import (
    BatchRefused,
    CallReverted,
    MethodNotSupported,
    NodeBehind,
    NodeError,
    RateLimited,
    RpcError,
    Timeout,
    TooLarge,
    Unreachable,
)

_TOO_LARGE: Final = re.compile(
    r"""
      query\ returned\ more\ than\ \d+                     # Infura, zkSync, Moonbeam, Polygon zkEVM
    | (?:log\ )?response\ size\ (?:exceeded|should\ not)   # Alchemy, 1RPC
    | this\ block\ range\ should\ work                     # Alchemy
    | query\ timeout\ exceeded                             # Alchemy, geth behind providers
    | log\ query\ timed\ out                               # Arbitrum Orbit public endpoints
    | logs\ matched\ by\ query\ exceeds\ limit             # Arbitrum
    | query\ exceeds\ max\ (?:block\ range|results)        # reth, LlamaRPC, Ankr, Hyperliquid
    | exceeds?\ (?:the\ )?maximum\ (?:rpc\ range|block\ range)  # Besu, PublicNode, BSC
    | max(?:imum)?\ block\ range                           # PublicNode, Tron, Morph
    | range\ \d+\ (?:exceeds|is\ bigger\ than)\ (?:range\ )?limit  # Infura since 2026, Tenderly
    | block\ range\ (?:is\ |limit\ )?(?:too|exceed|greater|larger|bigger|limited)  # Base
    | block\ range\ is\ too\ (?:wide|large)                # Ankr, Blast, Moonriver, Optimism
    | range\ (?:is\ )?too\ (?:large|wide|big)              # Cloudflare, Infura, BlockPI, Merkle
    | blocks?\ range\ exceed                               # Chainstack
    | exceeds\ the\ range\ allowed                         # Blast API
    | requested\ too\ many\ blocks                         # Avalanche
    | requested\ blocks\ is                                # thirdweb
    | limited\ to\ (?:a\ |0\ -\ )?[\d,.]+\ ?k?\ ?(?:-\ [\d,.]+\ )?(?:blocks?|range)  # 1RPC
    | limit\ the\ query\ to\ at\ most                      # Coinbase
    | up\ to\ a\ [\d,.]+\ block\ range                     # Aurora, Alchemy free plan
    | query\ must\ be\ smaller\ than\ size                 # Harmony
    | blocks\ distance                                     # Ankr
    | ranges?\ over\ [\d,.]+\ blocks                       # dRPC
    | (?:backend\ )?response\ (?:is\ )?too\ (?:large|big)  # proxyd (Base, Optimism), geth, reth
    | too\ many\ (?:logs|results|blocks\ requested)        # Nethermind
    | content\ too\ large | request\ entity\ too\ large    # proxies, HTTP 413
    """,
    re.IGNORECASE | re.VERBOSE,
)

_BATCH: Final = re.compile(
    r"""
      batch\ too\ large                                    # geth, erigon
    | batch\ (?:size|limit)\ .*(?:exceed|large|limit|max)  # Nethermind, Infura
    | number\ of\ requests\ exceeds\ max\ batch            # Besu
    | batch\ of\ more\ than\ \d+                           # dRPC
    | batch(?:ed|ing)?\ .*(?:not\ (?:supported|allowed)|disabled)  # reth
    | too\ many\ (?:rpc\ calls|requests)\ in\ batch        # proxyd
    | maximum\ batch                                       # QuickNode
    """,
    re.IGNORECASE | re.VERBOSE,
)

_RATE: Final = re.compile(
    r"""
      rate\ limit | over\ rate                             # proxyd, Infura, Ankr, BlockPI
    | too\ many\ requests | request\ (?:rate|limit)        # most; QuickNode "request limit reached"
    | requests?\ per\ (?:second|minute|day)                # Alchemy, QuickNode
    | compute\ units\ per\ second | throughput             # Alchemy
    | (?:daily|monthly|credit|usage|capacity|quota)\ .*(?:limit|exceed|reached|exhaust)  # Infura
    | project\ id\ request\ rate                           # Infura
    | exceeded\ (?:its|the|your)\ .*(?:capacity|quota|limit)  # Alchemy
    | ^limit\ exceeded$                                    # BSC public endpoints
    """,
    re.IGNORECASE | re.VERBOSE,
)

_UNSUPPORTED: Final = re.compile(
    r"""
      method\ .*not\ (?:found|supported|available|enabled|whitelisted|allowed)
    | method\ .*does\ not\ exist
    | method\ not | unsupported\ method | rpc\ method\ is\ (?:unsupported|not)
    | (?:not|un)\ ?(?:supported|available)\ on\ (?:this|your|the\ current)\ (?:plan|tier)
    | rpc\ endpoint\ not\ implemented | not\ implemented   # Anvil
    """,
    re.IGNORECASE | re.VERBOSE,
)

_BEHIND: Final = re.compile(
    r"""
      header\ not\ found | (?:unknown|missing)\ (?:block|header)    # geth, Besu
    | block\ (?:\S+\ )?(?:is\ )?not\ (?:found|available|yet)        # reth, Besu, erigon
    | (?:safe|finalized|pending)\ block\ not\ found                 # geth
    | header\ for\ hash\ not\ found | canonical\ hash\ not\ found   # erigon
    | missing\ trie\ node | state\ .*(?:not|un)\ ?available         # geth
    | world\ state\ unavailable | historical\ state                 # Besu, Nethermind
    | pruned\ history | initial\ sync | required\ data\ unavailable # reth, Besu, Anvil
    | blockoutofrange | resource\ not\ found                        # Anvil
    | invalid\ block\ range | from\ block\ .*after\ latest          # geth, reth when the head lags
    | block\ range\ extends\ beyond | one\ of\ the\ blocks\ specified\ in\ filter  # geth
    | cannot\ query\ unfinalized\ data | beyond\ current\ head      # Avalanche, erigon
    | archive\ (?:requests|node|data|access)                        # PublicNode, Chainstack
    """,
    re.IGNORECASE | re.VERBOSE,
)

_DOWN: Final = re.compile(
    r"""
      no\ backend\ is\ currently\ healthy                           # proxyd
    | (?:service|temporarily)\ (?:un)?available | bad\ gateway | gateway\ time
    | internal\ (?:server\ )?error | server\ (?:is\ )?(?:busy|overloaded)
    | upstream | unauthorized | invalid\ (?:api\ key|project\ id)   # providers
    | must\ be\ authenticated | node\ is\ (?:not\ )?sync
    """,
    re.IGNORECASE | re.VERBOSE,
)

_TIMEOUT: Final = re.compile(
    r"time(?:d)?[ -]?out|timeout|deadline exceeded|execution aborted", re.IGNORECASE
)

_REVERTED: Final = re.compile(
    r"execution reverted|vm execution error|vm exception while processing|reverted"
    r"|always failing transaction|invalid opcode|out of gas|stack (?:under|over)flow",
    re.IGNORECASE,
)

_HEX_RANGE: Final = re.compile(r"\[?(0x[0-9a-fA-F]{1,16})\s*,\s*(0x[0-9a-fA-F]{1,16})\]?")
_DECIMAL_RANGE: Final = re.compile(r"retry with the range (\d+)-(\d+)", re.IGNORECASE)
_MAX_BLOCKS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"maximum is set to (\d[\d,.]*)",
        r"max(?:imum)? (?:block )?range(?: =|:)? (\d[\d,.]*)",
        r"range \d+ (?:exceeds|is bigger than) (?:range )?limit (?:of )?(\d[\d,.]*)",
        r"requested blocks is (\d[\d,.]*)",
        r"limited to 0 - (\d[\d,.]*)",
        r"limited to (?:a )?(\d[\d,.]*) ?(?:blocks?|range)",
        r"at most (\d[\d,.]*) blocks",
        r"up to a (\d[\d,.]*) block range",
        r"smaller than size (\d[\d,.]*)",
        r"blocks distance: (\d[\d,.]*)",
        r"ranges? over (\d[\d,.]*) blocks",
        r"block range greater than (\d[\d,.]*)",
        r"block range exceeds (\d[\d,.]*)",
        r"too wide \(maximum (\d[\d,.]*)\)",
        r"allowed for your plan \(\d+ > (\d+)\)",
    )
)
_MAX_ITEMS: Final = re.compile(
    r"(?:more than|max(?:imum)?(?: batch)?(?: size)?(?: is| of|:)?) (\d+)"
)
_BACKOFF: Final = re.compile(r"(?:retry|try again) (?:in|after) (\d+(?:\.\d+)?) ?(ms|s)\b", re.I)


def classify(  # noqa: PLR0911 - one return a row, in the order of the table
    code: int | None, message: str, data: bytes = b"", *, where: str = ""
) -> RpcError:
    """The error of a JSON-RPC reply as one of ours.

    :param code: as given, ``None`` when absent or not a number.
    :param message: the node's words, already cleaned of secrets.
    :param data: revert data, if the error carried any.
    """
    text = message.strip()
    # Revert strings are the contract's own words ("rate limit" could be one): look here first.
    if code == 3 or (data and _REVERTED.search(text)) or text.startswith("execution reverted"):
        return CallReverted(text or "execution reverted", where=where, data=data)
    if _BATCH.search(text):
        return BatchRefused(text, where=where, max_items=_max_items(text))
    # Before the limits: a plan's range limit also speaks of limits and upgrades.
    if _TOO_LARGE.search(text):
        first_last, blocks = suggestion(text)
        return TooLarge(text, where=where, suggested=first_last, max_blocks=blocks)
    if code in (429, -32029, -32016, -32097) or _RATE.search(text):
        return RateLimited(text, where=where, retry_after=_backoff(text))
    if code in (-32601, -32604) or _UNSUPPORTED.search(text):
        return MethodNotSupported(text or "method not found", where=where)
    if code in (-39001, 4444) or _BEHIND.search(text):
        return NodeBehind(text or "unknown block", where=where)
    return _other(code, text, data, where)


def _other(code: int | None, text: str, data: bytes, where: str) -> RpcError:
    """Wordings that are sure only once the more telling ones are ruled out."""
    if _REVERTED.search(text):
        return CallReverted(text, where=where, data=data)
    if _TIMEOUT.search(text):
        return Timeout(text, where=where)
    if code == -32005:
        return RateLimited(text or "limit exceeded", where=where)
    if _DOWN.search(text):
        return Unreachable(text, where=where)
    shown = text or "an error without a message"
    return NodeError(f"{shown} (code {code})", where=where, code=code, message=text)


def classify_http(status: int, retry_after: float | None, *, where: str = "") -> RpcError:
    """An HTTP status that came without a JSON-RPC error."""
    what = f"HTTP status {status}"
    if status in (429, 420):
        return RateLimited(what, where=where, retry_after=retry_after)
    if status == 413:
        return TooLarge(what, where=where)
    if status in (408, 504, 524):
        return Timeout(what, where=where)
    if status == 503 and retry_after is not None:
        return RateLimited(what, where=where, retry_after=retry_after)
    return Unreachable(what, where=where)


def suggestion(message: str) -> tuple[tuple[int, int] | None, int | None]:
    """Range (first, last) and number of blocks that a message says would work, if any."""
    found = _HEX_RANGE.search(message)
    if found:
        first, last = int(found[1], 16), int(found[2], 16)
        return ((first, last) if first <= last else None), None
    found = _DECIMAL_RANGE.search(message)
    if found:
        first, last = int(found[1]), int(found[2])
        return ((first, last) if first <= last else None), None
    if re.search(r"max is 10k blocks", message):
        return None, 10_000
    for pattern in _MAX_BLOCKS:
        found = pattern.search(message)
        if found:
            blocks = int(re.sub(r"[,.]", "", found[1]))
            return None, blocks or None
    return None, None


def _max_items(message: str) -> int | None:
    found = _MAX_ITEMS.search(message.lower())
    return int(found[1]) if found and int(found[1]) > 0 else None


def _backoff(message: str) -> float | None:
    found = _BACKOFF.search(message)
    if not found:
        return None
    return float(found[1]) / (1000.0 if found[2].lower() == "ms" else 1.0)
