"""Lookups of chains and tokens, built once from the settings; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from config.chains import MOST_DECIMALS, ChainSettings, TokenSettings
from config.errors import NotFoundError
from config.money import FIAT_DECIMALS, parse_amount
from config.problems import nearest
from config.units import Address, Amount, ChainName, TokenSymbol, checksum

A_MICRO: Final[int] = 10**MOST_DECIMALS
"""Parts of a micro: so many that each token's base units are whole numbers of them."""


@dataclass(frozen=True)
class Token:
    """One ERC-20 contract on one chain."""

    chain: ChainName
    chain_id: int
    symbol: TokenSymbol
    address: Address
    decimals: int
    currency: str
    """What one unit is worth, such as ``USD``."""
    flagged: bool = False
    """Watched and labelled ``wrong_token``, never offered."""
    treasury_floor: int = 0
    """Base units that payouts leave in the treasury."""

    @property
    def caip19(self) -> str:
        """``eip155:8453/erc20:0x…`` with the address in EIP-55 (CAIP-19)."""
        return f"eip155:{self.chain_id}/erc20:{checksum(self.address)}"

    def pays(self, currency: str) -> bool:
        """Whether it may pay an invoice in ``currency``: its own, or the token itself."""
        return currency in {self.currency, self.symbol}

    def from_micros(self, micros: int) -> Amount:
        """Price in micros of its currency to base units, rounded up.

        Only tokens with fewer than 6 decimals round at all.
        """
        scale: int = 10**self.decimals
        return Amount(-(-micros * scale // 10**FIAT_DECIMALS))

    def to_micros(self, amount: int) -> int:
        """Base units to micros of its currency, rounded down."""
        scale: int = 10**self.decimals
        return amount * 10**FIAT_DECIMALS // scale

    def below_micros(self, amount: int) -> int:
        """What :meth:`to_micros` leaves out, in parts of which :data:`A_MICRO` are one micro."""
        if self.decimals <= FIAT_DECIMALS:
            return 0
        scale: int = 10**self.decimals
        left: int = amount * 10**FIAT_DECIMALS % scale
        return left * (A_MICRO // scale)

    @property
    def step(self) -> int:
        """Micros of one base unit, at least one: no price is met more exactly than that."""
        steps: int = 10 ** max(FIAT_DECIMALS - self.decimals, 0)
        return steps


class Catalogue:
    """All configured chains and tokens; symbols are found per chain, exactly as spelled."""

    def __init__(self, chains: Sequence[ChainSettings]) -> None:
        self._chains = {ChainName(chain.name): chain for chain in chains}
        self._by_id = {chain.chain_id: chain for chain in chains}
        self._tokens = {
            ChainName(chain.name): tuple(_token(chain, token) for token in chain.tokens)
            for chain in chains
        }
        self._by_symbol = {(token.chain, token.symbol): token for token in self}
        self._by_address = {(token.chain, token.address): token for token in self}

    def __iter__(self) -> Iterator[Token]:
        """Every token of every chain, flagged ones too, in the order of the file."""
        for tokens in self._tokens.values():
            yield from tokens

    @property
    def chains(self) -> tuple[ChainSettings, ...]:
        """In the order of the file."""
        return tuple(self._chains.values())

    def chain(self, name: str) -> ChainSettings:
        """:raises NotFoundError: no such chain is configured."""
        chain = self._chains.get(ChainName(name))
        if chain is None:
            raise NotFoundError(
                f"no chain {name[:60]!r} is configured", remedy=nearest(name, self._chains)
            )
        return chain

    def chain_by_id(self, chain_id: int) -> ChainSettings | None:
        """The configured chain with this EIP-155 id."""
        return self._by_id.get(chain_id)

    def tokens(self, chain: str) -> tuple[Token, ...]:
        """All of one chain, flagged ones too.

        :raises NotFoundError: no such chain.
        """
        return self._tokens[ChainName(self.chain(chain).name)]

    def payable_tokens(self, chain: str) -> tuple[Token, ...]:
        """What invoices may offer on a chain.

        :raises NotFoundError: no such chain.
        """
        return tuple(token for token in self.tokens(chain) if not token.flagged)

    def token(self, chain: str, symbol: str) -> Token:
        """:raises NotFoundError: no such chain, or no such token on it."""
        token = self._by_symbol.get((ChainName(self.chain(chain).name), TokenSymbol(symbol)))
        if token is None:
            symbols = [known.symbol for known in self.tokens(chain)]
            raise NotFoundError(
                f"no token {symbol[:60]!r} is configured on {chain}",
                remedy="known: " + ", ".join(symbols) if symbols else "",
            )
        return token

    def find_token(self, chain: str, symbol: str) -> Token | None:
        """As :meth:`token`; ``None`` where the configuration no longer has it."""
        return self._by_symbol.get((ChainName(chain), TokenSymbol(symbol)))

    def token_by_address(self, chain: str, address: bytes) -> Token | None:
        """The registered or flagged token at an address; ``None`` for any other contract."""
        return self._by_address.get((ChainName(chain), Address(address)))

    def flagged(self, chain: str, address: bytes) -> bool:
        """Whether the contract is known as a look-alike or bridged variant."""
        token = self.token_by_address(chain, address)
        return token is not None and token.flagged

    def symbols(self) -> tuple[TokenSymbol, ...]:
        """Payable symbols of all chains, each once."""
        return tuple(dict.fromkeys(token.symbol for token in self if not token.flagged))


def _token(chain: ChainSettings, token: TokenSettings) -> Token:
    return Token(
        chain=ChainName(chain.name),
        chain_id=chain.chain_id,
        symbol=TokenSymbol(token.symbol),
        address=Address(token.address),
        decimals=token.decimals,
        currency=token.currency,
        flagged=token.flagged,
        treasury_floor=parse_amount(token.treasury_floor, token.decimals),
    )
