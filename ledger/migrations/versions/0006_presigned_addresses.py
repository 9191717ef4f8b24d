"""Deposit addresses that an offline machine signed, with their authorizations."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COMMENTS = (
    ("presigned_sets.first_index", "lowest index that was imported"),
    ("presigned_sets.next_index", "indexes from first_index to below it are complete"),
    ("presigned_sets.checked_at", "when the delegate''s code on chain was found so"),
    ("presigned_authorizations.signature", "r, s and y_parity; nonce 0"),
)


def upgrade() -> None:
    """Three tables, in the caller's transaction."""
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    moment = "VARCHAR(27)" if sqlite else "TIMESTAMP WITH TIME ZONE"
    blob = "BLOB" if sqlite else "BYTEA"
    big = "INTEGER" if sqlite else "BIGINT"
    serial = "INTEGER" if sqlite else "BIGSERIAL"
    for statement in (
        f"""CREATE TABLE presigned_sets (
            id {serial} NOT NULL, chain_id BIGINT NOT NULL, delegate {blob} NOT NULL,
            code_hash {blob} NOT NULL, first_index BIGINT NOT NULL, next_index BIGINT NOT NULL,
            checked_at {moment},
            CONSTRAINT pk_presigned_sets PRIMARY KEY (id),
            CONSTRAINT uq_presigned_sets_chain_id_delegate UNIQUE (chain_id, delegate))""",
        f"""CREATE TABLE presigned_addresses (
            derivation_index {big} NOT NULL, address {blob} NOT NULL,
            CONSTRAINT pk_presigned_addresses PRIMARY KEY (derivation_index),
            CONSTRAINT uq_presigned_addresses_address UNIQUE (address))""",
        f"""CREATE TABLE presigned_authorizations (
            set_id {big} NOT NULL, derivation_index {big} NOT NULL, signature {blob} NOT NULL,
            CONSTRAINT pk_presigned_authorizations PRIMARY KEY (set_id, derivation_index),
            CONSTRAINT fk_presigned_authorizations_set_id
            FOREIGN KEY(set_id) REFERENCES presigned_sets (id),
            CONSTRAINT fk_presigned_authorizations_derivation_index
            FOREIGN KEY(derivation_index) REFERENCES presigned_addresses (derivation_index))""",
    ):
        connection.exec_driver_sql(statement)
    if not sqlite:
        for column, comment in _COMMENTS:
            connection.exec_driver_sql(f"COMMENT ON COLUMN {column} IS '{comment}'")
