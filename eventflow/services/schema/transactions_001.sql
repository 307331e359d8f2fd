-- Tokens of transactions that were committed within the last ten minutes; fingerprint tells whether a request is the same one again.
-- at is milliseconds since 1970.
CREATE TABLE transaction_tokens (
    region TEXT NOT NULL,
    token TEXT NOT NULL,
    fingerprint BLOB NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (region, token)
) WITHOUT ROWID;

CREATE INDEX transaction_tokens_age ON transaction_tokens (at);
