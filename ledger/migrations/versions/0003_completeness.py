"""What proves that nothing was missed: checks that ran, differences found, coin and dust seen."""

from __future__ import annotations

from collections import defaultdict

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_COMMENTS = {
    "ignored_logs.total": "their sum in base units, by the word of their logs",
    "ignored_logs.last_block": "of the newest one: what is only counted is known by its place",
    "ignored_logs.last_index": "its log''s index",
    "invoices.native_coin": "wei by chain at its address",
    "chain_checks.at": "when it last ran",
    "chain_checks.block": "as of which block, or up to which",
    "chain_checks.position": "where it goes on; -1: at the beginning",
    "chain_checks.round_began": "NULL: it has no rounds, or none has begun",
    "chain_checks.round_done": "when a round last came to its end",
    "audit_findings.expected": "base units that the books say are there",
    "audit_findings.found": "base units that the chain says are there",
    "audit_findings.first_block": "lowest block that can hold what is missing",
    "audit_findings.next_block": "looked for from here downwards; below first_block: done",
    "audit_findings.asked": "how many providers have been asked all the way down",
}


def upgrade() -> None:
    """Two tables and two columns, in the caller's transaction."""
    connection = op.get_bind()
    sqlite = connection.dialect.name == "sqlite"
    for statement in _statements(sqlite):
        connection.exec_driver_sql(statement)
    if not sqlite:
        for column, comment in _COMMENTS.items():
            connection.exec_driver_sql(f"COMMENT ON COLUMN {column} IS '{comment}'")
    _add_up(connection)


def _statements(sqlite: bool) -> tuple[str, ...]:
    moment = "VARCHAR(27)" if sqlite else "TIMESTAMP WITH TIME ZONE"
    amount = "VARCHAR(78)" if sqlite else "NUMERIC(78, 0)"
    blob = "BLOB" if sqlite else "BYTEA"
    serial = "INTEGER" if sqlite else "BIGSERIAL"
    none = f"'{0:078d}'" if sqlite else "0"
    return (
        f"ALTER TABLE ignored_logs ADD COLUMN total {amount} DEFAULT {none} NOT NULL",
        "ALTER TABLE ignored_logs ADD COLUMN last_block BIGINT DEFAULT 0 NOT NULL",
        "ALTER TABLE ignored_logs ADD COLUMN last_index BIGINT DEFAULT 0 NOT NULL",
        # Everything up to the cursor has been counted.
        "UPDATE ignored_logs SET last_block = coalesce((SELECT cursor_block + 1 FROM chain_cursors"
        " WHERE chain_cursors.chain = ignored_logs.chain), 0)",
        "ALTER TABLE invoices ADD COLUMN native_coin JSON",
        f"""CREATE TABLE chain_checks (
            chain TEXT NOT NULL, name TEXT NOT NULL, at {moment} NOT NULL, block BIGINT NOT NULL,
            position BIGINT NOT NULL, round_began {moment}, round_done {moment},
            CONSTRAINT pk_chain_checks PRIMARY KEY (chain, name))""",
        f"""CREATE TABLE audit_findings (
            id {serial} NOT NULL, chain TEXT NOT NULL, address {blob} NOT NULL,
            token_address {blob} NOT NULL, invoice_id TEXT NOT NULL, merchant_id TEXT NOT NULL,
            kind TEXT NOT NULL, status TEXT NOT NULL, expected {amount} NOT NULL,
            found {amount} NOT NULL, block_number BIGINT NOT NULL, block_hash {blob} NOT NULL,
            first_block BIGINT NOT NULL, next_block BIGINT NOT NULL, asked BIGINT NOT NULL,
            resolution TEXT, since {moment} NOT NULL, closed_at {moment},
            CONSTRAINT pk_audit_findings PRIMARY KEY (id),
            CONSTRAINT ck_audit_findings_kind CHECK (kind IN ('above', 'below')),
            CONSTRAINT ck_audit_findings_status CHECK (status IN ('searching', 'open', 'closed')),
            CONSTRAINT ck_audit_findings_closed_at
                CHECK ((status = 'closed') = (closed_at IS NOT NULL)),
            CONSTRAINT fk_audit_findings_invoice_id
                FOREIGN KEY(invoice_id) REFERENCES invoices (id))""",
        "CREATE UNIQUE INDEX uq_audit_findings_open ON audit_findings "
        "(chain, address, token_address) WHERE status <> 'closed'",
    )


def _add_up(connection: sa.Connection) -> None:
    """Totals of what was ignored before; what was only counted then is not known to anybody."""
    sums: dict[tuple[str, bytes, bytes, str], int] = defaultdict(int)
    rows = connection.exec_driver_sql(
        "SELECT chain, recipient, token_address, reason, amount FROM payments "
        "WHERE status = 'ignored'"
    )
    for chain, recipient, token, reason, amount in rows:
        sums[(chain, bytes(recipient), bytes(token), reason)] += int(amount)
    for (chain, recipient, token, reason), total in sums.items():
        most = min(total, 2**256 - 1)
        connection.execute(
            sa.text(
                "UPDATE ignored_logs SET total = :total WHERE chain = :chain "
                "AND recipient = :recipient AND token_address = :token AND reason = :reason"
            ),
            {
                "total": f"{most:078d}" if connection.dialect.name == "sqlite" else most,
                "chain": chain,
                "recipient": recipient,
                "token": token,
                "reason": reason,
            },
        )
