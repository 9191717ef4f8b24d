-- Frozen: a change of the schema is a new revision.
CREATE TABLE accounts (
	id INTEGER NOT NULL,
	kind TEXT NOT NULL,
	chain TEXT NOT NULL,
	token TEXT NOT NULL,
	merchant_id TEXT NOT NULL,
	debits_pending VARCHAR(78) NOT NULL,
	debits_posted VARCHAR(78) NOT NULL,
	credits_pending VARCHAR(78) NOT NULL,
	credits_posted VARCHAR(78) NOT NULL,
	CONSTRAINT pk_accounts PRIMARY KEY (id),
	CONSTRAINT uq_accounts_identity UNIQUE (kind, chain, token, merchant_id)
)
;;
CREATE INDEX ix_accounts_merchant_id ON accounts (merchant_id)
;;
CREATE TABLE chain_cursors (
	chain TEXT NOT NULL,
	chain_id BIGINT NOT NULL,
	start_block BIGINT NOT NULL,
	cursor_block BIGINT NOT NULL,
	cursor_hash BLOB NOT NULL,
	cursor_time VARCHAR(27) NOT NULL,
	final_block BIGINT NOT NULL,
	final_hash BLOB NOT NULL,
	halted_reason TEXT,
	halted_at VARCHAR(27),
	updated_at VARCHAR(27) NOT NULL,
	CONSTRAINT pk_chain_cursors PRIMARY KEY (chain),
	CONSTRAINT ck_chain_cursors_final_block CHECK (final_block <= cursor_block)
)
;;
CREATE TABLE blocks (
	chain TEXT NOT NULL,
	number BIGINT NOT NULL,
	hash BLOB NOT NULL,
	parent_hash BLOB NOT NULL,
	timestamp VARCHAR(27) NOT NULL,
	canonical BOOLEAN NOT NULL,
	CONSTRAINT pk_blocks PRIMARY KEY (chain, number, hash)
)
;;
CREATE UNIQUE INDEX uq_blocks_canonical ON blocks (chain, number) WHERE canonical
;;
CREATE TABLE ignored_logs (
	chain TEXT NOT NULL,
	recipient BLOB NOT NULL,
	token_address BLOB NOT NULL,
	reason TEXT NOT NULL,
	count BIGINT NOT NULL,
	CONSTRAINT pk_ignored_logs PRIMARY KEY (chain, recipient, token_address, reason)
)
;;
CREATE TABLE address_counter (
	id INTEGER NOT NULL,
	next_index BIGINT NOT NULL,
	CONSTRAINT pk_address_counter PRIMARY KEY (id)
)
;;
CREATE TABLE merchants (
	id TEXT NOT NULL,
	name TEXT NOT NULL,
	created_at VARCHAR(27) NOT NULL,
	schedule TEXT,
	minimum_payout TEXT,
	fee_bps INTEGER,
	next_settlement_at VARCHAR(27),
	CONSTRAINT pk_merchants PRIMARY KEY (id),
	CONSTRAINT ck_merchants_fee_bps CHECK (fee_bps IS NULL OR (fee_bps >= 0 AND fee_bps <= 10000))
)
;;
CREATE TABLE idempotency_keys (
	scope TEXT NOT NULL,
	"key" TEXT NOT NULL,
	request_hash BLOB NOT NULL,
	attempt BIGINT NOT NULL,
	status_code BIGINT,
	response TEXT,
	created_at VARCHAR(27) NOT NULL,
	CONSTRAINT pk_idempotency_keys PRIMARY KEY (scope, "key")
)
;;
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at)
;;
CREATE TABLE events (
	seq INTEGER NOT NULL,
	id TEXT NOT NULL,
	merchant_id TEXT NOT NULL,
	type TEXT NOT NULL,
	object_id TEXT NOT NULL,
	data JSON NOT NULL,
	created_at VARCHAR(27) NOT NULL,
	CONSTRAINT pk_events PRIMARY KEY (seq),
	CONSTRAINT uq_events_id UNIQUE (id)
)
;;
CREATE INDEX ix_events_merchant_id_seq ON events (merchant_id, seq)
;;
CREATE TABLE holds (
	id TEXT NOT NULL,
	kind TEXT NOT NULL,
	object_type TEXT NOT NULL,
	object_id TEXT NOT NULL,
	merchant_id TEXT,
	reason TEXT NOT NULL,
	since VARCHAR(27) NOT NULL,
	released_at VARCHAR(27),
	resolution TEXT,
	CONSTRAINT pk_holds PRIMARY KEY (id),
	CONSTRAINT ck_holds_kind CHECK (kind IN ('payment', 'payout', 'chain', 'lane', 'batch', 'destination'))
)
;;
CREATE INDEX ix_holds_object_id ON holds (object_id)
;;
CREATE TABLE pauses (
	scope TEXT NOT NULL,
	since VARCHAR(27) NOT NULL,
	reason TEXT,
	CONSTRAINT pk_pauses PRIMARY KEY (scope)
)
;;
CREATE TABLE leases (
	name TEXT NOT NULL,
	owner TEXT NOT NULL,
	fencing_token BIGINT NOT NULL,
	expires_at VARCHAR(27) NOT NULL,
	CONSTRAINT pk_leases PRIMARY KEY (name)
)
;;
CREATE TABLE rescans (
	id INTEGER NOT NULL,
	chain TEXT NOT NULL,
	first_block BIGINT NOT NULL,
	last_block BIGINT NOT NULL,
	next_block BIGINT NOT NULL,
	"trigger" TEXT NOT NULL,
	created_at VARCHAR(27) NOT NULL,
	finished_at VARCHAR(27),
	CONSTRAINT pk_rescans PRIMARY KEY (id),
	CONSTRAINT ck_rescans_trigger CHECK (trigger IN ('command', 'gap', 'backup'))
)
;;
CREATE TABLE audit_log (
	id INTEGER NOT NULL,
	at VARCHAR(27) NOT NULL,
	actor TEXT NOT NULL,
	action TEXT NOT NULL,
	object_id TEXT,
	detail JSON,
	CONSTRAINT pk_audit_log PRIMARY KEY (id)
)
;;
CREATE TABLE payout_runs (
	id TEXT NOT NULL,
	merchant_id TEXT,
	"trigger" TEXT NOT NULL,
	status TEXT NOT NULL,
	"plan" JSON,
	created_at VARCHAR(27) NOT NULL,
	finished_at VARCHAR(27),
	CONSTRAINT pk_payout_runs PRIMARY KEY (id),
	CONSTRAINT ck_payout_runs_trigger CHECK (trigger IN ('schedule', 'api', 'command')),
	CONSTRAINT ck_payout_runs_status CHECK (status IN ('requested', 'planned', 'done'))
)
;;
CREATE TABLE batches (
	id INTEGER NOT NULL,
	chain TEXT NOT NULL,
	lane TEXT NOT NULL,
	purpose TEXT NOT NULL,
	token TEXT NOT NULL,
	epoch BIGINT,
	onchain_id BIGINT,
	content_hash BLOB NOT NULL,
	target BLOB NOT NULL,
	value VARCHAR(78) NOT NULL,
	calldata BLOB NOT NULL,
	authorizations JSON,
	after_batch_id BIGINT,
	sealed_block BIGINT NOT NULL,
	size INTEGER NOT NULL,
	status TEXT NOT NULL,
	reason TEXT,
	created_at VARCHAR(27) NOT NULL,
	final_at VARCHAR(27),
	CONSTRAINT pk_batches PRIMARY KEY (id),
	CONSTRAINT ck_batches_status CHECK (status IN ('sealed', 'submitted', 'executed', 'final', 'void')),
	CONSTRAINT ck_batches_purpose CHECK (purpose IN ('payout', 'sweep', 'top_up', 'transfer')),
	CONSTRAINT uq_batches_onchain_id UNIQUE (chain, epoch, onchain_id)
)
;;
CREATE INDEX ix_batches_chain_lane_status ON batches (chain, lane, status)
;;
CREATE TABLE lanes (
	chain TEXT NOT NULL,
	lane TEXT NOT NULL,
	sender BLOB NOT NULL,
	next_nonce BIGINT NOT NULL,
	halted_reason TEXT,
	halted_at VARCHAR(27),
	CONSTRAINT pk_lanes PRIMARY KEY (chain, lane),
	CONSTRAINT uq_lanes_sender UNIQUE (chain, sender)
)
;;
CREATE TABLE transfers (
	id INTEGER NOT NULL,
	"key" TEXT NOT NULL,
	kind TEXT NOT NULL,
	pending_id INTEGER,
	debit_account_id INTEGER NOT NULL,
	credit_account_id INTEGER NOT NULL,
	amount VARCHAR(78) NOT NULL,
	reason TEXT NOT NULL,
	object_id TEXT NOT NULL,
	created_at VARCHAR(27) NOT NULL,
	CONSTRAINT pk_transfers PRIMARY KEY (id),
	CONSTRAINT ck_transfers_kind CHECK (kind IN ('posted', 'pending', 'post', 'void')),
	CONSTRAINT ck_transfers_pending_id CHECK ((kind IN ('post', 'void') AND pending_id IS NOT NULL) OR (kind IN ('posted', 'pending') AND pending_id IS NULL)),
	CONSTRAINT ck_transfers_accounts CHECK (debit_account_id <> credit_account_id),
	CONSTRAINT uq_transfers_key UNIQUE ("key"),
	CONSTRAINT uq_transfers_pending_id UNIQUE (pending_id),
	CONSTRAINT fk_transfers_pending_id FOREIGN KEY(pending_id) REFERENCES transfers (id),
	CONSTRAINT fk_transfers_debit_account_id FOREIGN KEY(debit_account_id) REFERENCES accounts (id),
	CONSTRAINT fk_transfers_credit_account_id FOREIGN KEY(credit_account_id) REFERENCES accounts (id)
)
;;
CREATE INDEX ix_transfers_debit_account_id_id ON transfers (debit_account_id, id)
;;
CREATE INDEX ix_transfers_object_id ON transfers (object_id)
;;
CREATE INDEX ix_transfers_credit_account_id_id ON transfers (credit_account_id, id)
;;
CREATE TABLE invoices (
	id TEXT NOT NULL,
	merchant_id TEXT NOT NULL,
	status TEXT NOT NULL,
	exceptions JSON NOT NULL,
	amount VARCHAR(78) NOT NULL,
	currency TEXT NOT NULL,
	address BLOB NOT NULL,
	reference TEXT,
	metadata JSON,
	redirect_url TEXT,
	created_at VARCHAR(27) NOT NULL,
	expires_at VARCHAR(27) NOT NULL,
	monitor_until VARCHAR(27) NOT NULL,
	canceled_at VARCHAR(27),
	invalid BOOLEAN DEFAULT 0 NOT NULL,
	updated_at VARCHAR(27) NOT NULL,
	CONSTRAINT pk_invoices PRIMARY KEY (id),
	CONSTRAINT ck_invoices_status CHECK (status IN ('new', 'partially_paid', 'processing', 'paid', 'expired', 'canceled', 'invalid')),
	CONSTRAINT ck_invoices_invalid CHECK ((status = 'invalid') = invalid),
	CONSTRAINT fk_invoices_merchant_id FOREIGN KEY(merchant_id) REFERENCES merchants (id)
)
;;
CREATE INDEX ix_invoices_merchant_id_reference ON invoices (merchant_id, reference)
;;
CREATE INDEX ix_invoices_status_expires_at ON invoices (status, expires_at)
;;
CREATE INDEX ix_invoices_merchant_id_id ON invoices (merchant_id, id)
;;
CREATE TABLE api_keys (
	id TEXT NOT NULL,
	merchant_id TEXT NOT NULL,
	key_hash BLOB NOT NULL,
	name TEXT,
	created_at VARCHAR(27) NOT NULL,
	revoked_at VARCHAR(27),
	CONSTRAINT pk_api_keys PRIMARY KEY (id),
	CONSTRAINT fk_api_keys_merchant_id FOREIGN KEY(merchant_id) REFERENCES merchants (id),
	CONSTRAINT uq_api_keys_key_hash UNIQUE (key_hash)
)
;;
CREATE INDEX ix_api_keys_merchant_id ON api_keys (merchant_id)
;;
CREATE TABLE payout_destinations (
	id TEXT NOT NULL,
	merchant_id TEXT NOT NULL,
	chain TEXT NOT NULL,
	token TEXT,
	address BLOB NOT NULL,
	status TEXT NOT NULL,
	created_at VARCHAR(27) NOT NULL,
	active_at VARCHAR(27) NOT NULL,
	revoked_at VARCHAR(27),
	CONSTRAINT pk_payout_destinations PRIMARY KEY (id),
	CONSTRAINT ck_payout_destinations_status CHECK (status IN ('cooling_off', 'active', 'revoked', 'pending_approval')),
	CONSTRAINT fk_payout_destinations_merchant_id FOREIGN KEY(merchant_id) REFERENCES merchants (id)
)
;;
CREATE INDEX ix_payout_destinations_merchant_id ON payout_destinations (merchant_id)
;;
CREATE TABLE webhook_endpoints (
	id TEXT NOT NULL,
	merchant_id TEXT NOT NULL,
	url TEXT NOT NULL,
	events JSON,
	secret_encrypted TEXT NOT NULL,
	previous_secret_encrypted TEXT,
	previous_secret_until VARCHAR(27),
	status TEXT NOT NULL,
	reason TEXT,
	created_at VARCHAR(27) NOT NULL,
	deleted_at VARCHAR(27),
	CONSTRAINT pk_webhook_endpoints PRIMARY KEY (id),
	CONSTRAINT ck_webhook_endpoints_status CHECK (status IN ('enabled', 'disabled')),
	CONSTRAINT fk_webhook_endpoints_merchant_id FOREIGN KEY(merchant_id) REFERENCES merchants (id)
)
;;
CREATE INDEX ix_webhook_endpoints_merchant_id ON webhook_endpoints (merchant_id)
;;
CREATE TABLE payouts (
	id TEXT NOT NULL,
	merchant_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	chain TEXT NOT NULL,
	token TEXT NOT NULL,
	amount VARCHAR(78) NOT NULL,
	fee VARCHAR(78) NOT NULL,
	address BLOB NOT NULL,
	status TEXT NOT NULL,
	reason TEXT,
	batch_id INTEGER,
	batch_index BIGINT,
	attempt BIGINT NOT NULL,
	tx_hash BLOB,
	run_id TEXT,
	created_at VARCHAR(27) NOT NULL,
	paid_at VARCHAR(27),
	CONSTRAINT pk_payouts PRIMARY KEY (id),
	CONSTRAINT ck_payouts_status CHECK (status IN ('pending_approval', 'queued', 'batched', 'submitted', 'paid', 'on_hold', 'canceled', 'failed')),
	CONSTRAINT ck_payouts_kind CHECK (kind IN ('settlement', 'refund')),
	CONSTRAINT ck_payouts_batched CHECK (status NOT IN ('batched', 'submitted', 'paid') OR (batch_id IS NOT NULL AND batch_index IS NOT NULL)),
	CONSTRAINT ck_payouts_paid_at CHECK ((status = 'paid') = (paid_at IS NOT NULL)),
	CONSTRAINT ck_payouts_on_hold_reason CHECK (status <> 'on_hold' OR reason IS NOT NULL),
	CONSTRAINT uq_payouts_batch_place UNIQUE (batch_id, batch_index),
	CONSTRAINT fk_payouts_merchant_id FOREIGN KEY(merchant_id) REFERENCES merchants (id),
	CONSTRAINT fk_payouts_batch_id FOREIGN KEY(batch_id) REFERENCES batches (id)
)
;;
CREATE INDEX ix_payouts_merchant_id_id ON payouts (merchant_id, id)
;;
CREATE INDEX ix_payouts_batch_id ON payouts (batch_id)
;;
CREATE INDEX ix_payouts_status_chain_token ON payouts (status, chain, token)
;;
CREATE TABLE sweep_items (
	id INTEGER NOT NULL,
	batch_id INTEGER NOT NULL,
	batch_index BIGINT NOT NULL,
	address BLOB NOT NULL,
	derivation_index BIGINT NOT NULL,
	chain TEXT NOT NULL,
	token TEXT NOT NULL,
	amount VARCHAR(78) NOT NULL,
	status TEXT NOT NULL,
	reason TEXT,
	CONSTRAINT pk_sweep_items PRIMARY KEY (id),
	CONSTRAINT ck_sweep_items_status CHECK (status IN ('sealed', 'swept', 'failed')),
	CONSTRAINT uq_sweep_items_batch_place UNIQUE (batch_id, batch_index),
	CONSTRAINT fk_sweep_items_batch_id FOREIGN KEY(batch_id) REFERENCES batches (id)
)
;;
CREATE INDEX ix_sweep_items_batch_id ON sweep_items (batch_id)
;;
CREATE TABLE transactions (
	id INTEGER NOT NULL,
	chain TEXT NOT NULL,
	lane TEXT NOT NULL,
	sender BLOB NOT NULL,
	nonce BIGINT NOT NULL,
	attempt BIGINT NOT NULL,
	purpose TEXT NOT NULL,
	batch_id INTEGER,
	tx_hash BLOB NOT NULL,
	raw BLOB NOT NULL,
	gas_limit BIGINT NOT NULL,
	max_fee VARCHAR(78) NOT NULL,
	max_tip VARCHAR(78) NOT NULL,
	status TEXT NOT NULL,
	reason TEXT,
	created_at VARCHAR(27) NOT NULL,
	broadcast_at VARCHAR(27),
	block_number BIGINT,
	block_hash BLOB,
	gas_used BIGINT,
	fee_paid VARCHAR(78),
	final_at VARCHAR(27),
	CONSTRAINT pk_transactions PRIMARY KEY (id),
	CONSTRAINT ck_transactions_status CHECK (status IN ('prepared', 'signed', 'broadcast', 'mined', 'final', 'replaced', 'dead', 'reverted')),
	CONSTRAINT ck_transactions_purpose CHECK (purpose IN ('payout', 'sweep', 'top_up', 'transfer', 'cancel', 'gap', 'deploy')),
	CONSTRAINT ck_transactions_mined_block CHECK (status NOT IN ('mined', 'final', 'reverted') OR (block_number IS NOT NULL AND block_hash IS NOT NULL)),
	CONSTRAINT ck_transactions_broadcast_at CHECK (status IN ('prepared', 'signed') OR broadcast_at IS NOT NULL),
	CONSTRAINT uq_transactions_nonce UNIQUE (chain, sender, nonce, attempt),
	CONSTRAINT fk_transactions_batch_id FOREIGN KEY(batch_id) REFERENCES batches (id),
	CONSTRAINT uq_transactions_tx_hash UNIQUE (tx_hash)
)
;;
CREATE UNIQUE INDEX uq_transactions_unbroadcast ON transactions (chain, sender) WHERE status IN ('prepared', 'signed')
;;
CREATE UNIQUE INDEX uq_transactions_settled_nonce ON transactions (chain, sender, nonce) WHERE status IN ('mined', 'final', 'reverted')
;;
CREATE INDEX ix_transactions_batch_id ON transactions (batch_id)
;;
CREATE INDEX ix_transactions_chain_lane_status ON transactions (chain, lane, status)
;;
CREATE TABLE payments (
	id TEXT NOT NULL,
	invoice_id TEXT NOT NULL,
	merchant_id TEXT NOT NULL,
	chain TEXT NOT NULL,
	tx_hash BLOB NOT NULL,
	ordinal BIGINT NOT NULL,
	variant BIGINT NOT NULL,
	token TEXT,
	token_address BLOB NOT NULL,
	sender BLOB NOT NULL,
	recipient BLOB NOT NULL,
	amount VARCHAR(78) NOT NULL,
	value VARCHAR(78) NOT NULL,
	fee VARCHAR(78) NOT NULL,
	status TEXT NOT NULL,
	reason TEXT,
	held BOOLEAN NOT NULL,
	is_final BOOLEAN NOT NULL,
	credits BIGINT NOT NULL,
	block_number BIGINT NOT NULL,
	block_hash BLOB NOT NULL,
	block_time VARCHAR(27) NOT NULL,
	log_index BIGINT NOT NULL,
	detected_at VARCHAR(27) NOT NULL,
	confirmed_at VARCHAR(27),
	payout_id TEXT,
	sweep_item_id INTEGER,
	CONSTRAINT pk_payments PRIMARY KEY (id),
	CONSTRAINT ck_payments_status CHECK (status IN ('detected', 'confirming', 'confirmed', 'ignored', 'orphaned', 'reversed')),
	CONSTRAINT ck_payments_ignored_reason CHECK (status <> 'ignored' OR reason IS NOT NULL),
	CONSTRAINT ck_payments_booked_token CHECK (token IS NOT NULL OR status = 'ignored'),
	CONSTRAINT ck_payments_confirmed_at CHECK ((status = 'confirmed' AND confirmed_at IS NOT NULL) OR status <> 'confirmed'),
	CONSTRAINT uq_payments_identity UNIQUE (chain, tx_hash, ordinal, variant),
	CONSTRAINT fk_payments_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoices (id),
	CONSTRAINT fk_payments_merchant_id FOREIGN KEY(merchant_id) REFERENCES merchants (id),
	CONSTRAINT fk_payments_payout_id FOREIGN KEY(payout_id) REFERENCES payouts (id)
)
;;
CREATE INDEX ix_payments_unsettled ON payments (merchant_id, chain, token) WHERE status = 'confirmed' AND payout_id IS NULL
;;
CREATE INDEX ix_payments_sweep_item_id ON payments (sweep_item_id) WHERE sweep_item_id IS NOT NULL
;;
CREATE INDEX ix_payments_open ON payments (chain, block_number) WHERE status IN ('detected', 'confirming')
;;
CREATE INDEX ix_payments_unswept ON payments (chain, token) WHERE status = 'confirmed' AND sweep_item_id IS NULL
;;
CREATE INDEX ix_payments_invoice_id ON payments (invoice_id)
;;
CREATE INDEX ix_payments_payout_id ON payments (payout_id) WHERE payout_id IS NOT NULL
;;
CREATE INDEX ix_payments_chain_block_number ON payments (chain, block_number)
;;
CREATE INDEX ix_payments_merchant_id_id ON payments (merchant_id, id)
;;
CREATE INDEX ix_payments_not_final ON payments (chain, block_number) WHERE status = 'confirmed' AND is_final IS 0
;;
CREATE TABLE deposit_addresses (
	derivation_index INTEGER NOT NULL,
	address BLOB NOT NULL,
	invoice_id TEXT NOT NULL,
	watch_from JSON NOT NULL,
	created_at VARCHAR(27) NOT NULL,
	CONSTRAINT pk_deposit_addresses PRIMARY KEY (derivation_index),
	CONSTRAINT uq_deposit_addresses_address UNIQUE (address),
	CONSTRAINT fk_deposit_addresses_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoices (id)
)
;;
CREATE INDEX ix_deposit_addresses_invoice_id ON deposit_addresses (invoice_id)
;;
CREATE TABLE invoice_options (
	invoice_id TEXT NOT NULL,
	chain TEXT NOT NULL,
	token TEXT NOT NULL,
	amount VARCHAR(78) NOT NULL,
	position BIGINT NOT NULL,
	CONSTRAINT pk_invoice_options PRIMARY KEY (invoice_id, chain, token),
	CONSTRAINT fk_invoice_options_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoices (id)
)
;;
CREATE TABLE webhook_deliveries (
	id INTEGER NOT NULL,
	endpoint_id TEXT NOT NULL,
	event_seq INTEGER NOT NULL,
	object_id TEXT NOT NULL,
	status TEXT NOT NULL,
	attempts BIGINT NOT NULL,
	next_attempt_at VARCHAR(27) NOT NULL,
	response_status BIGINT,
	error TEXT,
	created_at VARCHAR(27) NOT NULL,
	delivered_at VARCHAR(27),
	CONSTRAINT pk_webhook_deliveries PRIMARY KEY (id),
	CONSTRAINT ck_webhook_deliveries_status CHECK (status IN ('pending', 'delivered', 'dead')),
	CONSTRAINT fk_webhook_deliveries_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES webhook_endpoints (id),
	CONSTRAINT fk_webhook_deliveries_event_seq FOREIGN KEY(event_seq) REFERENCES events (seq)
)
;;
CREATE INDEX ix_webhook_deliveries_due ON webhook_deliveries (next_attempt_at) WHERE status = 'pending'
;;
CREATE INDEX ix_webhook_deliveries_endpoint_id_id ON webhook_deliveries (endpoint_id, id)
;;
CREATE INDEX ix_webhook_deliveries_order ON webhook_deliveries (endpoint_id, object_id, id) WHERE status = 'pending'
;;
CREATE TABLE sightings (
	chain TEXT NOT NULL,
	block_hash BLOB NOT NULL,
	log_index BIGINT NOT NULL,
	payment_id TEXT NOT NULL,
	block_number BIGINT NOT NULL,
	seen_at VARCHAR(27) NOT NULL,
	CONSTRAINT pk_sightings PRIMARY KEY (chain, block_hash, log_index),
	CONSTRAINT fk_sightings_payment_id FOREIGN KEY(payment_id) REFERENCES payments (id)
)
;;
CREATE INDEX ix_sightings_payment_id ON sightings (payment_id)
;;
CREATE TRIGGER invoices_transition BEFORE UPDATE ON invoices WHEN OLD.status <> NEW.status AND NOT ((OLD.status = 'canceled' AND NEW.status IN ('canceled', 'expired', 'invalid', 'new', 'paid', 'partially_paid', 'processing')) OR (OLD.status = 'expired' AND NEW.status IN ('canceled', 'expired', 'invalid', 'new', 'paid', 'partially_paid', 'processing')) OR (OLD.status = 'invalid' AND NEW.status IN ('canceled', 'expired', 'new', 'paid', 'partially_paid', 'processing')) OR (OLD.status = 'new' AND NEW.status IN ('canceled', 'expired', 'invalid', 'new', 'paid', 'partially_paid', 'processing')) OR (OLD.status = 'paid' AND NEW.status IN ('canceled', 'expired', 'invalid', 'new', 'paid', 'partially_paid', 'processing')) OR (OLD.status = 'partially_paid' AND NEW.status IN ('canceled', 'expired', 'invalid', 'new', 'paid', 'partially_paid', 'processing')) OR (OLD.status = 'processing' AND NEW.status IN ('canceled', 'expired', 'invalid', 'new', 'paid', 'partially_paid', 'processing'))) BEGIN SELECT RAISE(ABORT, 'invoices: no such status transition'); END
;;
CREATE TRIGGER payments_transition BEFORE UPDATE ON payments WHEN OLD.status <> NEW.status AND NOT ((OLD.status = 'confirmed' AND NEW.status IN ('reversed')) OR (OLD.status = 'confirming' AND NEW.status IN ('confirmed', 'orphaned')) OR (OLD.status = 'detected' AND NEW.status IN ('confirmed', 'confirming', 'orphaned')) OR (OLD.status = 'orphaned' AND NEW.status IN ('confirmed', 'confirming', 'detected')) OR (OLD.status = 'reversed' AND NEW.status IN ('confirmed', 'confirming', 'detected'))) BEGIN SELECT RAISE(ABORT, 'payments: no such status transition'); END
;;
CREATE TRIGGER payouts_transition BEFORE UPDATE ON payouts WHEN OLD.status <> NEW.status AND NOT ((OLD.status = 'batched' AND NEW.status IN ('on_hold', 'queued', 'submitted')) OR (OLD.status = 'on_hold' AND NEW.status IN ('canceled', 'failed', 'queued')) OR (OLD.status = 'paid' AND NEW.status IN ('submitted')) OR (OLD.status = 'pending_approval' AND NEW.status IN ('canceled', 'queued')) OR (OLD.status = 'queued' AND NEW.status IN ('batched', 'canceled', 'on_hold')) OR (OLD.status = 'submitted' AND NEW.status IN ('failed', 'on_hold', 'paid', 'queued'))) BEGIN SELECT RAISE(ABORT, 'payouts: no such status transition'); END
;;
CREATE TRIGGER transactions_transition BEFORE UPDATE ON transactions WHEN OLD.status <> NEW.status AND NOT ((OLD.status = 'broadcast' AND NEW.status IN ('dead', 'mined', 'replaced')) OR (OLD.status = 'mined' AND NEW.status IN ('broadcast', 'final', 'replaced', 'reverted')) OR (OLD.status = 'prepared' AND NEW.status IN ('signed')) OR (OLD.status = 'signed' AND NEW.status IN ('broadcast'))) BEGIN SELECT RAISE(ABORT, 'transactions: no such status transition'); END
;;
CREATE TRIGGER batches_transition BEFORE UPDATE ON batches WHEN OLD.status <> NEW.status AND NOT ((OLD.status = 'executed' AND NEW.status IN ('final', 'submitted')) OR (OLD.status = 'final' AND NEW.status IN ('submitted')) OR (OLD.status = 'sealed' AND NEW.status IN ('submitted', 'void')) OR (OLD.status = 'submitted' AND NEW.status IN ('executed', 'void'))) BEGIN SELECT RAISE(ABORT, 'batches: no such status transition'); END
;;
CREATE TRIGGER transfers_no_update BEFORE UPDATE ON transfers WHEN 1 = 1 BEGIN SELECT RAISE(ABORT, 'transfers: append only'); END
;;
CREATE TRIGGER transfers_no_delete BEFORE DELETE ON transfers WHEN 1 = 1 BEGIN SELECT RAISE(ABORT, 'transfers: append only'); END
