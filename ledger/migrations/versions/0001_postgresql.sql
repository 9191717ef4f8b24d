-- Frozen: a change of the schema is a new revision.
CREATE TABLE accounts (
	id BIGSERIAL NOT NULL,
	kind TEXT NOT NULL,
	chain TEXT NOT NULL,
	token TEXT NOT NULL,
	merchant_id TEXT NOT NULL,
	debits_pending NUMERIC(78, 0) NOT NULL,
	debits_posted NUMERIC(78, 0) NOT NULL,
	credits_pending NUMERIC(78, 0) NOT NULL,
	credits_posted NUMERIC(78, 0) NOT NULL,
	CONSTRAINT pk_accounts PRIMARY KEY (id),
	CONSTRAINT uq_accounts_identity UNIQUE (kind, chain, token, merchant_id)
)
;;
CREATE INDEX ix_accounts_merchant_id ON accounts (merchant_id)
;;
COMMENT ON COLUMN accounts.merchant_id IS ''''' for the house''s own'
;;
CREATE TABLE chain_cursors (
	chain TEXT NOT NULL,
	chain_id BIGINT NOT NULL,
	start_block BIGINT NOT NULL,
	cursor_block BIGINT NOT NULL,
	cursor_hash BYTEA NOT NULL,
	cursor_time TIMESTAMP WITH TIME ZONE NOT NULL,
	final_block BIGINT NOT NULL,
	final_hash BYTEA NOT NULL,
	halted_reason TEXT,
	halted_at TIMESTAMP WITH TIME ZONE,
	updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT pk_chain_cursors PRIMARY KEY (chain),
	CONSTRAINT ck_chain_cursors_final_block CHECK (final_block <= cursor_block)
)
;;
COMMENT ON COLUMN chain_cursors.start_block IS 'first block ever scanned'
;;
COMMENT ON COLUMN chain_cursors.cursor_block IS 'every block up to here is linked, scanned and committed'
;;
COMMENT ON COLUMN chain_cursors.cursor_time IS 'the block''s own timestamp'
;;
COMMENT ON COLUMN chain_cursors.final_block IS 'highest block held as final; a reorg below it is a violation'
;;
COMMENT ON COLUMN chain_cursors.halted_reason IS 'finality violation: only an operator clears it'
;;
CREATE TABLE blocks (
	chain TEXT NOT NULL,
	number BIGINT NOT NULL,
	hash BYTEA NOT NULL,
	parent_hash BYTEA NOT NULL,
	timestamp TIMESTAMP WITH TIME ZONE NOT NULL,
	canonical BOOLEAN NOT NULL,
	CONSTRAINT pk_blocks PRIMARY KEY (chain, number, hash)
)
;;
CREATE UNIQUE INDEX uq_blocks_canonical ON blocks (chain, number) WHERE canonical
;;
CREATE TABLE ignored_logs (
	chain TEXT NOT NULL,
	recipient BYTEA NOT NULL,
	token_address BYTEA NOT NULL,
	reason TEXT NOT NULL,
	count BIGINT NOT NULL,
	CONSTRAINT pk_ignored_logs PRIMARY KEY (chain, recipient, token_address, reason)
)
;;
COMMENT ON TABLE ignored_logs IS 'what reached a deposit address without being money'
;;
COMMENT ON COLUMN ignored_logs.count IS 'recorded as payments up to a cap; counted beyond it'
;;
CREATE TABLE address_counter (
	id SERIAL NOT NULL,
	next_index BIGINT NOT NULL,
	CONSTRAINT pk_address_counter PRIMARY KEY (id)
)
;;
COMMENT ON COLUMN address_counter.next_index IS 'next derivation index; its row lock orders all hand-outs'
;;
CREATE TABLE merchants (
	id TEXT NOT NULL,
	name TEXT NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE NOT NULL,
	schedule TEXT,
	minimum_payout TEXT,
	fee_bps INTEGER,
	next_settlement_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT pk_merchants PRIMARY KEY (id),
	CONSTRAINT ck_merchants_fee_bps CHECK (fee_bps IS NULL OR (fee_bps >= 0 AND fee_bps <= 10000))
)
;;
COMMENT ON COLUMN merchants.schedule IS 'own schedule; NULL: the configured one'
;;
COMMENT ON COLUMN merchants.minimum_payout IS 'token units as text; NULL: the configured one'
;;
CREATE TABLE idempotency_keys (
	scope TEXT NOT NULL,
	key TEXT NOT NULL,
	request_hash BYTEA NOT NULL,
	attempt BIGINT NOT NULL,
	status_code BIGINT,
	response TEXT,
	created_at TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT pk_idempotency_keys PRIMARY KEY (scope, key)
)
;;
CREATE INDEX ix_idempotency_keys_created_at ON idempotency_keys (created_at)
;;
COMMENT ON COLUMN idempotency_keys.scope IS 'merchant id, or ''admin'''
;;
COMMENT ON COLUMN idempotency_keys.attempt IS 'raised when taken over: only the last may finish'
;;
COMMENT ON COLUMN idempotency_keys.status_code IS 'NULL: still in flight'
;;
COMMENT ON COLUMN idempotency_keys.created_at IS 'of the last attempt'
;;
CREATE TABLE events (
	seq BIGSERIAL NOT NULL,
	id TEXT NOT NULL,
	merchant_id TEXT NOT NULL,
	type TEXT NOT NULL,
	object_id TEXT NOT NULL,
	data JSON NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT pk_events PRIMARY KEY (seq),
	CONSTRAINT uq_events_id UNIQUE (id)
)
;;
CREATE INDEX ix_events_merchant_id_seq ON events (merchant_id, seq)
;;
COMMENT ON COLUMN events.data IS 'the object as its GET gave it then'
;;
CREATE TABLE holds (
	id TEXT NOT NULL,
	kind TEXT NOT NULL,
	object_type TEXT NOT NULL,
	object_id TEXT NOT NULL,
	merchant_id TEXT,
	reason TEXT NOT NULL,
	since TIMESTAMP WITH TIME ZONE NOT NULL,
	released_at TIMESTAMP WITH TIME ZONE,
	resolution TEXT,
	CONSTRAINT pk_holds PRIMARY KEY (id),
	CONSTRAINT ck_holds_kind CHECK (kind IN ('payment', 'payout', 'chain', 'lane', 'batch', 'destination'))
)
;;
CREATE INDEX ix_holds_object_id ON holds (object_id)
;;
CREATE TABLE pauses (
	scope TEXT NOT NULL,
	since TIMESTAMP WITH TIME ZONE NOT NULL,
	reason TEXT,
	CONSTRAINT pk_pauses PRIMARY KEY (scope)
)
;;
COMMENT ON COLUMN pauses.scope IS 'all|payouts|sweeps[:chain]'
;;
CREATE TABLE leases (
	name TEXT NOT NULL,
	owner TEXT NOT NULL,
	fencing_token BIGINT NOT NULL,
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT pk_leases PRIMARY KEY (name)
)
;;
COMMENT ON COLUMN leases.fencing_token IS 'raised at every change of owner'
;;
CREATE TABLE rescans (
	id BIGSERIAL NOT NULL,
	chain TEXT NOT NULL,
	first_block BIGINT NOT NULL,
	last_block BIGINT NOT NULL,
	next_block BIGINT NOT NULL,
	trigger TEXT NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE NOT NULL,
	finished_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT pk_rescans PRIMARY KEY (id),
	CONSTRAINT ck_rescans_trigger CHECK (trigger IN ('command', 'gap', 'backup'))
)
;;
COMMENT ON COLUMN rescans.next_block IS 'progress; done when above last_block'
;;
CREATE TABLE audit_log (
	id BIGSERIAL NOT NULL,
	at TIMESTAMP WITH TIME ZONE NOT NULL,
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
	trigger TEXT NOT NULL,
	status TEXT NOT NULL,
	plan JSON,
	created_at TIMESTAMP WITH TIME ZONE NOT NULL,
	finished_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT pk_payout_runs PRIMARY KEY (id),
	CONSTRAINT ck_payout_runs_trigger CHECK (trigger IN ('schedule', 'api', 'command')),
	CONSTRAINT ck_payout_runs_status CHECK (status IN ('requested', 'planned', 'done'))
)
;;
COMMENT ON COLUMN payout_runs.merchant_id IS 'NULL: every merchant'
;;
CREATE TABLE batches (
	id BIGSERIAL NOT NULL,
	chain TEXT NOT NULL,
	lane TEXT NOT NULL,
	purpose TEXT NOT NULL,
	token TEXT NOT NULL,
	epoch BIGINT,
	onchain_id BIGINT,
	content_hash BYTEA NOT NULL,
	target BYTEA NOT NULL,
	value NUMERIC(78, 0) NOT NULL,
	calldata BYTEA NOT NULL,
	authorizations JSON,
	after_batch_id BIGINT,
	sealed_block BIGINT NOT NULL,
	size INTEGER NOT NULL,
	status TEXT NOT NULL,
	reason TEXT,
	created_at TIMESTAMP WITH TIME ZONE NOT NULL,
	final_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT pk_batches PRIMARY KEY (id),
	CONSTRAINT ck_batches_status CHECK (status IN ('sealed', 'submitted', 'executed', 'final', 'void')),
	CONSTRAINT ck_batches_purpose CHECK (purpose IN ('payout', 'sweep', 'top_up', 'transfer')),
	CONSTRAINT uq_batches_onchain_id UNIQUE (chain, epoch, onchain_id)
)
;;
CREATE INDEX ix_batches_chain_lane_status ON batches (chain, lane, status)
;;
COMMENT ON COLUMN batches.token IS 'symbol; the native coin''s for a top-up'
;;
COMMENT ON COLUMN batches.onchain_id IS 'one-use id in the treasury''s bitmap'
;;
COMMENT ON COLUMN batches.content_hash IS 'keccak-256 of what it pays or sweeps'
;;
COMMENT ON COLUMN batches.target IS 'contract called, or account topped up'
;;
COMMENT ON COLUMN batches.value IS 'native coin sent along, wei'
;;
COMMENT ON COLUMN batches.authorizations IS 'EIP-7702 tuples, signed'
;;
COMMENT ON COLUMN batches.after_batch_id IS 'nothing is sent before that one is final'
;;
COMMENT ON COLUMN batches.sealed_block IS 'cursor at sealing: it was not executed before'
;;
CREATE TABLE lanes (
	chain TEXT NOT NULL,
	lane TEXT NOT NULL,
	sender BYTEA NOT NULL,
	next_nonce BIGINT NOT NULL,
	halted_reason TEXT,
	halted_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT pk_lanes PRIMARY KEY (chain, lane),
	CONSTRAINT uq_lanes_sender UNIQUE (chain, sender)
)
;;
COMMENT ON COLUMN lanes.next_nonce IS 'the authority: a nonce is taken here, in the commit of P2'
;;
CREATE TABLE transfers (
	id BIGSERIAL NOT NULL,
	key TEXT NOT NULL,
	kind TEXT NOT NULL,
	pending_id BIGINT,
	debit_account_id BIGINT NOT NULL,
	credit_account_id BIGINT NOT NULL,
	amount NUMERIC(78, 0) NOT NULL,
	reason TEXT NOT NULL,
	object_id TEXT NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT pk_transfers PRIMARY KEY (id),
	CONSTRAINT ck_transfers_kind CHECK (kind IN ('posted', 'pending', 'post', 'void')),
	CONSTRAINT ck_transfers_pending_id CHECK ((kind IN ('post', 'void') AND pending_id IS NOT NULL) OR (kind IN ('posted', 'pending') AND pending_id IS NULL)),
	CONSTRAINT ck_transfers_accounts CHECK (debit_account_id <> credit_account_id),
	CONSTRAINT uq_transfers_key UNIQUE (key),
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
COMMENT ON COLUMN transfers.key IS 'what makes a repeated posting a no-op'
;;
COMMENT ON COLUMN transfers.pending_id IS 'the pending transfer that this one posts or voids: once'
;;
COMMENT ON COLUMN transfers.object_id IS 'payment, payout, sweep or hold that it tells of'
;;
CREATE TABLE invoices (
	id TEXT NOT NULL,
	merchant_id TEXT NOT NULL,
	status TEXT NOT NULL,
	exceptions JSON NOT NULL,
	amount NUMERIC(78, 0) NOT NULL,
	currency TEXT NOT NULL,
	address BYTEA NOT NULL,
	reference TEXT,
	metadata JSON,
	redirect_url TEXT,
	created_at TIMESTAMP WITH TIME ZONE NOT NULL,
	expires_at TIMESTAMP WITH TIME ZONE NOT NULL,
	monitor_until TIMESTAMP WITH TIME ZONE NOT NULL,
	canceled_at TIMESTAMP WITH TIME ZONE,
	invalid BOOLEAN DEFAULT false NOT NULL,
	updated_at TIMESTAMP WITH TIME ZONE NOT NULL,
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
COMMENT ON COLUMN invoices.amount IS 'micros of the currency'
;;
CREATE TABLE api_keys (
	id TEXT NOT NULL,
	merchant_id TEXT NOT NULL,
	key_hash BYTEA NOT NULL,
	name TEXT,
	created_at TIMESTAMP WITH TIME ZONE NOT NULL,
	revoked_at TIMESTAMP WITH TIME ZONE,
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
	address BYTEA NOT NULL,
	status TEXT NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE NOT NULL,
	active_at TIMESTAMP WITH TIME ZONE NOT NULL,
	revoked_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT pk_payout_destinations PRIMARY KEY (id),
	CONSTRAINT ck_payout_destinations_status CHECK (status IN ('cooling_off', 'active', 'revoked', 'pending_approval')),
	CONSTRAINT fk_payout_destinations_merchant_id FOREIGN KEY(merchant_id) REFERENCES merchants (id)
)
;;
CREATE INDEX ix_payout_destinations_merchant_id ON payout_destinations (merchant_id)
;;
COMMENT ON COLUMN payout_destinations.token IS 'NULL: every token of the chain'
;;
COMMENT ON COLUMN payout_destinations.active_at IS 'end of the cooling-off time'
;;
CREATE TABLE webhook_endpoints (
	id TEXT NOT NULL,
	merchant_id TEXT NOT NULL,
	url TEXT NOT NULL,
	events JSON,
	secret_encrypted TEXT NOT NULL,
	previous_secret_encrypted TEXT,
	previous_secret_until TIMESTAMP WITH TIME ZONE,
	status TEXT NOT NULL,
	reason TEXT,
	created_at TIMESTAMP WITH TIME ZONE NOT NULL,
	deleted_at TIMESTAMP WITH TIME ZONE,
	CONSTRAINT pk_webhook_endpoints PRIMARY KEY (id),
	CONSTRAINT ck_webhook_endpoints_status CHECK (status IN ('enabled', 'disabled')),
	CONSTRAINT fk_webhook_endpoints_merchant_id FOREIGN KEY(merchant_id) REFERENCES merchants (id)
)
;;
CREATE INDEX ix_webhook_endpoints_merchant_id ON webhook_endpoints (merchant_id)
;;
COMMENT ON COLUMN webhook_endpoints.events IS 'types; NULL: all but payment.ignored'
;;
COMMENT ON COLUMN webhook_endpoints.previous_secret_encrypted IS 'still signs until it expires'
;;
CREATE TABLE payouts (
	id TEXT NOT NULL,
	merchant_id TEXT NOT NULL,
	kind TEXT NOT NULL,
	chain TEXT NOT NULL,
	token TEXT NOT NULL,
	amount NUMERIC(78, 0) NOT NULL,
	fee NUMERIC(78, 0) NOT NULL,
	address BYTEA NOT NULL,
	status TEXT NOT NULL,
	reason TEXT,
	batch_id BIGINT,
	batch_index BIGINT,
	attempt BIGINT NOT NULL,
	tx_hash BYTEA,
	run_id TEXT,
	created_at TIMESTAMP WITH TIME ZONE NOT NULL,
	paid_at TIMESTAMP WITH TIME ZONE,
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
COMMENT ON COLUMN payouts.fee IS 'sum of the fees of the payments that it settles'
;;
COMMENT ON COLUMN payouts.attempt IS 'how often it was put into a batch: part of the posting''s key'
;;
CREATE TABLE sweep_items (
	id BIGSERIAL NOT NULL,
	batch_id BIGINT NOT NULL,
	batch_index BIGINT NOT NULL,
	address BYTEA NOT NULL,
	derivation_index BIGINT NOT NULL,
	chain TEXT NOT NULL,
	token TEXT NOT NULL,
	amount NUMERIC(78, 0) NOT NULL,
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
	id BIGSERIAL NOT NULL,
	chain TEXT NOT NULL,
	lane TEXT NOT NULL,
	sender BYTEA NOT NULL,
	nonce BIGINT NOT NULL,
	attempt BIGINT NOT NULL,
	purpose TEXT NOT NULL,
	batch_id BIGINT,
	tx_hash BYTEA NOT NULL,
	raw BYTEA NOT NULL,
	gas_limit BIGINT NOT NULL,
	max_fee NUMERIC(78, 0) NOT NULL,
	max_tip NUMERIC(78, 0) NOT NULL,
	status TEXT NOT NULL,
	reason TEXT,
	created_at TIMESTAMP WITH TIME ZONE NOT NULL,
	broadcast_at TIMESTAMP WITH TIME ZONE,
	block_number BIGINT,
	block_hash BYTEA,
	gas_used BIGINT,
	fee_paid NUMERIC(78, 0),
	final_at TIMESTAMP WITH TIME ZONE,
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
COMMENT ON COLUMN transactions.attempt IS '0 for the first on its nonce'
;;
COMMENT ON COLUMN transactions.raw IS 'the signed bytes, as sent'
;;
COMMENT ON COLUMN transactions.max_fee IS 'maxFeePerGas, wei'
;;
COMMENT ON COLUMN transactions.max_tip IS 'maxPriorityFeePerGas, wei'
;;
COMMENT ON COLUMN transactions.fee_paid IS 'wei, the L1 data fee included'
;;
CREATE TABLE payments (
	id TEXT NOT NULL,
	invoice_id TEXT NOT NULL,
	merchant_id TEXT NOT NULL,
	chain TEXT NOT NULL,
	tx_hash BYTEA NOT NULL,
	ordinal BIGINT NOT NULL,
	variant BIGINT NOT NULL,
	token TEXT,
	token_address BYTEA NOT NULL,
	sender BYTEA NOT NULL,
	recipient BYTEA NOT NULL,
	amount NUMERIC(78, 0) NOT NULL,
	value NUMERIC(78, 0) NOT NULL,
	fee NUMERIC(78, 0) NOT NULL,
	status TEXT NOT NULL,
	reason TEXT,
	held BOOLEAN NOT NULL,
	is_final BOOLEAN NOT NULL,
	credits BIGINT NOT NULL,
	block_number BIGINT NOT NULL,
	block_hash BYTEA NOT NULL,
	block_time TIMESTAMP WITH TIME ZONE NOT NULL,
	log_index BIGINT NOT NULL,
	detected_at TIMESTAMP WITH TIME ZONE NOT NULL,
	confirmed_at TIMESTAMP WITH TIME ZONE,
	payout_id TEXT,
	sweep_item_id BIGINT,
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
CREATE INDEX ix_payments_not_final ON payments (chain, block_number) WHERE status = 'confirmed' AND is_final IS false
;;
COMMENT ON COLUMN payments.ordinal IS 'index of the log within its receipt'
;;
COMMENT ON COLUMN payments.variant IS '0; higher where a re-included transaction pays otherwise'
;;
COMMENT ON COLUMN payments.token IS 'symbol; NULL: not registered'
;;
COMMENT ON COLUMN payments.value IS 'micros of the invoice''s currency; 0 where not counted'
;;
COMMENT ON COLUMN payments.fee IS 'taken when it became available'
;;
COMMENT ON COLUMN payments.is_final IS 'at or below the final block'
;;
COMMENT ON COLUMN payments.credits IS 'how often it was credited: part of the posting''s key'
;;
CREATE TABLE deposit_addresses (
	derivation_index BIGINT NOT NULL,
	address BYTEA NOT NULL,
	invoice_id TEXT NOT NULL,
	watch_from JSON NOT NULL,
	created_at TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT pk_deposit_addresses PRIMARY KEY (derivation_index),
	CONSTRAINT uq_deposit_addresses_address UNIQUE (address),
	CONSTRAINT fk_deposit_addresses_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoices (id)
)
;;
CREATE INDEX ix_deposit_addresses_invoice_id ON deposit_addresses (invoice_id)
;;
COMMENT ON COLUMN deposit_addresses.derivation_index IS 'handed out in commit order: a reader that has seen n has seen all below'
;;
COMMENT ON COLUMN deposit_addresses.watch_from IS 'per chain the first block that can hold a payment: the cursor then, plus one'
;;
CREATE TABLE invoice_options (
	invoice_id TEXT NOT NULL,
	chain TEXT NOT NULL,
	token TEXT NOT NULL,
	amount NUMERIC(78, 0) NOT NULL,
	position BIGINT NOT NULL,
	CONSTRAINT pk_invoice_options PRIMARY KEY (invoice_id, chain, token),
	CONSTRAINT fk_invoice_options_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoices (id)
)
;;
COMMENT ON COLUMN invoice_options.amount IS 'base units of the token'
;;
COMMENT ON COLUMN invoice_options.position IS 'order in which the options are shown'
;;
CREATE TABLE webhook_deliveries (
	id BIGSERIAL NOT NULL,
	endpoint_id TEXT NOT NULL,
	event_seq BIGINT NOT NULL,
	object_id TEXT NOT NULL,
	status TEXT NOT NULL,
	attempts BIGINT NOT NULL,
	next_attempt_at TIMESTAMP WITH TIME ZONE NOT NULL,
	response_status BIGINT,
	error TEXT,
	created_at TIMESTAMP WITH TIME ZONE NOT NULL,
	delivered_at TIMESTAMP WITH TIME ZONE,
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
COMMENT ON COLUMN webhook_deliveries.object_id IS 'deliveries of one object go in order'
;;
CREATE TABLE sightings (
	chain TEXT NOT NULL,
	block_hash BYTEA NOT NULL,
	log_index BIGINT NOT NULL,
	payment_id TEXT NOT NULL,
	block_number BIGINT NOT NULL,
	seen_at TIMESTAMP WITH TIME ZONE NOT NULL,
	CONSTRAINT pk_sightings PRIMARY KEY (chain, block_hash, log_index),
	CONSTRAINT fk_sightings_payment_id FOREIGN KEY(payment_id) REFERENCES payments (id)
)
;;
CREATE INDEX ix_sightings_payment_id ON sightings (payment_id)
;;
CREATE FUNCTION invoices_transition() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'invoices: no such status transition' USING ERRCODE = '23514'; END $$
;;
CREATE TRIGGER invoices_transition BEFORE UPDATE ON invoices FOR EACH ROW WHEN (OLD.status <> NEW.status AND NOT ((OLD.status = 'canceled' AND NEW.status IN ('canceled', 'expired', 'invalid', 'new', 'paid', 'partially_paid', 'processing')) OR (OLD.status = 'expired' AND NEW.status IN ('canceled', 'expired', 'invalid', 'new', 'paid', 'partially_paid', 'processing')) OR (OLD.status = 'invalid' AND NEW.status IN ('canceled', 'expired', 'new', 'paid', 'partially_paid', 'processing')) OR (OLD.status = 'new' AND NEW.status IN ('canceled', 'expired', 'invalid', 'new', 'paid', 'partially_paid', 'processing')) OR (OLD.status = 'paid' AND NEW.status IN ('canceled', 'expired', 'invalid', 'new', 'paid', 'partially_paid', 'processing')) OR (OLD.status = 'partially_paid' AND NEW.status IN ('canceled', 'expired', 'invalid', 'new', 'paid', 'partially_paid', 'processing')) OR (OLD.status = 'processing' AND NEW.status IN ('canceled', 'expired', 'invalid', 'new', 'paid', 'partially_paid', 'processing')))) EXECUTE FUNCTION invoices_transition()
;;
CREATE FUNCTION payments_transition() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'payments: no such status transition' USING ERRCODE = '23514'; END $$
;;
CREATE TRIGGER payments_transition BEFORE UPDATE ON payments FOR EACH ROW WHEN (OLD.status <> NEW.status AND NOT ((OLD.status = 'confirmed' AND NEW.status IN ('reversed')) OR (OLD.status = 'confirming' AND NEW.status IN ('confirmed', 'orphaned')) OR (OLD.status = 'detected' AND NEW.status IN ('confirmed', 'confirming', 'orphaned')) OR (OLD.status = 'orphaned' AND NEW.status IN ('confirmed', 'confirming', 'detected')) OR (OLD.status = 'reversed' AND NEW.status IN ('confirmed', 'confirming', 'detected')))) EXECUTE FUNCTION payments_transition()
;;
CREATE FUNCTION payouts_transition() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'payouts: no such status transition' USING ERRCODE = '23514'; END $$
;;
CREATE TRIGGER payouts_transition BEFORE UPDATE ON payouts FOR EACH ROW WHEN (OLD.status <> NEW.status AND NOT ((OLD.status = 'batched' AND NEW.status IN ('on_hold', 'queued', 'submitted')) OR (OLD.status = 'on_hold' AND NEW.status IN ('canceled', 'failed', 'queued')) OR (OLD.status = 'paid' AND NEW.status IN ('submitted')) OR (OLD.status = 'pending_approval' AND NEW.status IN ('canceled', 'queued')) OR (OLD.status = 'queued' AND NEW.status IN ('batched', 'canceled', 'on_hold')) OR (OLD.status = 'submitted' AND NEW.status IN ('failed', 'on_hold', 'paid', 'queued')))) EXECUTE FUNCTION payouts_transition()
;;
CREATE FUNCTION transactions_transition() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'transactions: no such status transition' USING ERRCODE = '23514'; END $$
;;
CREATE TRIGGER transactions_transition BEFORE UPDATE ON transactions FOR EACH ROW WHEN (OLD.status <> NEW.status AND NOT ((OLD.status = 'broadcast' AND NEW.status IN ('dead', 'mined', 'replaced')) OR (OLD.status = 'mined' AND NEW.status IN ('broadcast', 'final', 'replaced', 'reverted')) OR (OLD.status = 'prepared' AND NEW.status IN ('signed')) OR (OLD.status = 'signed' AND NEW.status IN ('broadcast')))) EXECUTE FUNCTION transactions_transition()
;;
CREATE FUNCTION batches_transition() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'batches: no such status transition' USING ERRCODE = '23514'; END $$
;;
CREATE TRIGGER batches_transition BEFORE UPDATE ON batches FOR EACH ROW WHEN (OLD.status <> NEW.status AND NOT ((OLD.status = 'executed' AND NEW.status IN ('final', 'submitted')) OR (OLD.status = 'final' AND NEW.status IN ('submitted')) OR (OLD.status = 'sealed' AND NEW.status IN ('submitted', 'void')) OR (OLD.status = 'submitted' AND NEW.status IN ('executed', 'void')))) EXECUTE FUNCTION batches_transition()
;;
CREATE FUNCTION transfers_no_update() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'transfers: append only' USING ERRCODE = '23514'; END $$
;;
CREATE TRIGGER transfers_no_update BEFORE UPDATE ON transfers FOR EACH ROW WHEN (1 = 1) EXECUTE FUNCTION transfers_no_update()
;;
CREATE FUNCTION transfers_no_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'transfers: append only' USING ERRCODE = '23514'; END $$
;;
CREATE TRIGGER transfers_no_delete BEFORE DELETE ON transfers FOR EACH ROW WHEN (1 = 1) EXECUTE FUNCTION transfers_no_delete()
