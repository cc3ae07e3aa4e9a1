-- Imports: many codes at once, all or nothing unless `partial` ---------------------------------------------------------

CREATE TABLE imports (
    id           uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    org_id       uuid NOT NULL REFERENCES organizations,
    partial      boolean NOT NULL,
    columns      text[] NOT NULL DEFAULT '{}',  -- of the file's rows, in its order
    status       text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'failed')),
    total        integer NOT NULL DEFAULT 0 CHECK (total BETWEEN 0 AND 100000),
    judged       integer NOT NULL DEFAULT 0,  -- rows looked at
    judged_line  integer NOT NULL DEFAULT 0,  -- the last of them: the next worker goes on behind it
    done         integer NOT NULL DEFAULT 0,  -- rows added
    failed       integer NOT NULL DEFAULT 0,  -- rows that were wrong
    message      text,  -- why nothing was added
    outcomes     jsonb NOT NULL DEFAULT '[]',  -- of the first rows, failures first, once it is over
    reason       text,  -- what went wrong at the last attempt, for operators
    lease_token  uuid,
    lease_until  timestamptz,
    attempts     smallint NOT NULL DEFAULT 0,  -- since it last got on
    created_at   timestamptz NOT NULL DEFAULT now(),
    finished_at  timestamptz,
    CONSTRAINT imports_over CHECK ((status IN ('done', 'failed')) = (finished_at IS NOT NULL)),
    CONSTRAINT imports_failure_named CHECK (status <> 'failed' OR message IS NOT NULL),
    CONSTRAINT imports_counted CHECK (done + failed <= total AND judged <= total)
);
CREATE INDEX imports_open ON imports (id) WHERE finished_at IS NULL;
CREATE INDEX imports_age ON imports (finished_at) WHERE finished_at IS NOT NULL;

-- What the file says, copied in as it stands. Gone when the import is over.
CREATE TABLE import_rows (
    import_id  uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    line       integer NOT NULL,  -- of the file, where the row begins
    cells      text[] NOT NULL,
    PRIMARY KEY (import_id, line)
);

-- What became of a row: a code to add, or a fault. Gone when the import is over.
CREATE TABLE import_codes (
    import_id         uuid NOT NULL REFERENCES imports ON DELETE CASCADE,
    line              integer NOT NULL,
    id                uuid NOT NULL,  -- the code's, given here: adding it twice cannot succeed
    code              text,
    destination_code  text,
    definition        jsonb,  -- by the columns of qr_codes
    encounter         jsonb,  -- by the columns of encounters
    field             text,
    message           text,  -- null: nothing is wrong
    PRIMARY KEY (import_id, line),
    CONSTRAINT import_codes_judged CHECK (message IS NOT NULL OR (code IS NOT NULL AND definition IS NOT NULL))
);
CREATE INDEX import_codes_faults ON import_codes (import_id, line) WHERE message IS NOT NULL;
