-- Generated codes: the row is the request, and its picture stands beside it -------------------------------------------

CREATE TABLE generated_codes (
    id                uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    maker             uuid REFERENCES players ON DELETE SET NULL,  -- null: made by somebody who was not signed in
    data              text NOT NULL CONSTRAINT generated_codes_data CHECK (octet_length(data) BETWEEN 1 AND 2953),
    format            text NOT NULL CHECK (format IN ('png', 'svg', 'pdf')),
    size              integer NOT NULL CHECK (size BETWEEN 100 AND 2000),
    error_correction  text NOT NULL CHECK (error_correction IN ('L', 'M', 'Q', 'H')),
    created_at        timestamptz NOT NULL DEFAULT now(),
    expires_at        timestamptz,  -- null: never
    status            text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'ready', 'failed')),
    reason            text,  -- what went wrong at the last attempt, for operators
    lease_token       uuid,
    lease_until       timestamptz,
    attempts          smallint NOT NULL DEFAULT 0,
    CONSTRAINT generated_codes_failure_named CHECK (status <> 'failed' OR reason IS NOT NULL)
) WITH (fillfactor = 85);
CREATE INDEX generated_codes_pending ON generated_codes (id) WHERE status = 'pending';
CREATE INDEX generated_codes_expiry ON generated_codes (expires_at) WHERE expires_at IS NOT NULL;
CREATE INDEX generated_codes_maker ON generated_codes (maker) WHERE maker IS NOT NULL;

-- A table of its own, so that claims do not copy pictures along; a row here cannot outlive its code.
CREATE TABLE generated_images (
    code_id  uuid NOT NULL REFERENCES generated_codes ON DELETE CASCADE,
    format   text NOT NULL CHECK (format IN ('png', 'svg', 'pdf')),
    digest   text NOT NULL,  -- of all that determines the picture: its ETag
    data     bytea NOT NULL,
    PRIMARY KEY (code_id, format)
);

-- What is left when cleanup has come: that it was there, so that it stays gone rather than unknown.
CREATE TABLE generated_tombstones (
    id          uuid PRIMARY KEY,
    expires_at  timestamptz NOT NULL
);
CREATE INDEX generated_tombstones_age ON generated_tombstones (expires_at);
