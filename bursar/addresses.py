"""The installation's own addresses, known without any private key where that is possible."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from chain.deployment import HelperContracts, plan_addresses
from config.chains import ChainSettings
from config.errors import ConfigError
from config.settings import Secrets, Settings
from config.units import Address, parse_address
from wallets.keyring import deposit_xpub, kms_clear_part, open_keyring
from wallets.keystore import ClearPart, read_clear


@dataclass(frozen=True)
class OwnAddresses:
    """Who pays gas, who signs, where the money is."""

    deposit_xpub: str | None
    """``None`` where deposit keys are kept offline, or there are none."""
    sponsor_sweeps: Address
    sponsor_payouts: Address
    treasury_signer: Address
    owner: Address
    contracts: HelperContracts

    def sponsors(self) -> tuple[tuple[str, Address], ...]:
        """(lane, address) of those that need native coin."""
        return ("sweeps", self.sponsor_sweeps), ("payouts", self.sponsor_payouts)


def own_addresses(settings: Settings, secrets: Secrets) -> OwnAddresses:
    """From the keystore's clear part, the test mnemonic, or the addresses of KMS's keys.

    :raises ConfigError: no owner is set and a chain may hold real money; or no signer is known.
    :raises WalletError: the keystore cannot be read, or KMS does not tell an address that the
        configuration leaves out.
    """
    clear = _clear_part(settings, secrets)
    signer = parse_address(clear.addresses["treasury"])
    sweeper = parse_address(clear.addresses["sweeps"])
    owner = owner_of(settings, signer)
    return OwnAddresses(
        deposit_xpub=clear.deposit_xpub,
        sponsor_sweeps=sweeper,
        sponsor_payouts=parse_address(clear.addresses["payouts"]),
        treasury_signer=signer,
        owner=owner,
        contracts=plan_addresses(owner, signer, sweeper),
    )


def owner_of(settings: Settings, treasury_signer: Address) -> Address:
    """Who may withdraw from the treasury and rotate its signer.

    :raises ConfigError: not set, or the signer itself, and not every chain is a test chain:
        there the hot signer must not be able to take everything.
    """
    real = real_chains(settings.chains)
    chosen = settings.wallets.owner
    if real and chosen == treasury_signer:
        raise ConfigError(
            f"is the treasury signer, and {', '.join(real)} may hold real money",
            where="wallets.owner",
            remedy="set it to the address of a cold wallet: who signs must not rule the contract",
        )
    if chosen is not None:
        return Address(chosen)
    if real:
        raise ConfigError(
            f"is not set, and {', '.join(real)} may hold real money",
            where="wallets.owner",
            remedy="set it to the address of a cold wallet: it rules the treasury contract",
        )
    return treasury_signer


def real_chains(chains: Sequence[ChainSettings]) -> list[str]:
    """Names of the chains that are no test chains."""
    return [chain.name for chain in chains if not chain.is_test]


def _clear_part(settings: Settings, secrets: Secrets) -> ClearPart:
    if settings.wallets.signer == "kms":
        return kms_clear_part(settings)
    if settings.wallets.signer == "keystore":
        # The addresses are part of what the passphrase authenticates when it is opened.
        clear = read_clear(settings.wallets.keystore)
        from_xpub = settings.wallets.deposits == "hd"
        return ClearPart(deposit_xpub(settings) if from_xpub else None, clear.addresses)
    return open_keyring(settings, secrets).clear_part()
