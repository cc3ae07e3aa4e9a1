-- Bulk renders: the row is the request and its outcome; the work is in its chunks --------------------------------------

CREATE TABLE render_jobs (
    id                uuid PRIMARY KEY DEFAULT waymark_uuid7(),
    org_id            uuid NOT NULL REFERENCES organizations ON DELETE CASCADE,
    asked_by          uuid REFERENCES players ON DELETE SET NULL,
    output            text NOT NULL CHECK (output IN ('zip', 'label_sheet')),
    format            text NOT NULL CHECK (format IN ('png', 'svg', 'pdf')),
    size              integer NOT NULL CHECK (size BETWEEN 100 AND 2000),
    error_correction  text NOT NULL CHECK (error_correction IN ('L', 'M', 'Q', 'H')),
    template          text,  -- of a label sheet
    caption           text CHECK (caption IN ('description', 'code', 'none')),
    total             integer NOT NULL CONSTRAINT render_jobs_total CHECK (total BETWEEN 1 AND 100000),
    created_at        timestamptz NOT NULL DEFAULT now(),
    status            text NOT NULL DEFAULT 'queued' CHECK (status IN ('queued', 'running', 'done', 'failed', 'canceled')),
    reason            text,  -- why it failed
    finished_at       timestamptz,
    file              text,  -- its name in the storage, and how many bytes it has
    file_bytes        bigint,
    expires_at        timestamptz,  -- of the file
    -- Putting the parts together is leased like a chunk.
    lease_token       uuid,
    lease_until       timestamptz,
    attempts          smallint NOT NULL DEFAULT 0,
    failures          smallint NOT NULL DEFAULT 0,  -- of the storage
    CONSTRAINT render_jobs_label_whole CHECK (
        (output = 'label_sheet') = (template IS NOT NULL) AND (template IS NULL) = (caption IS NULL)),
    CONSTRAINT render_jobs_one_end CHECK ((status IN ('queued', 'running')) = (finished_at IS NULL)),
    CONSTRAINT render_jobs_file_whole CHECK (
        (status = 'done') = (file IS NOT NULL) AND (file IS NULL) = (file_bytes IS NULL)
        AND (file IS NULL) = (expires_at IS NULL)),
    CONSTRAINT render_jobs_failure_named CHECK (status <> 'failed' OR reason IS NOT NULL)
);
CREATE INDEX render_jobs_org ON render_jobs (org_id, id);
CREATE INDEX render_jobs_open ON render_jobs (id) WHERE status IN ('queued', 'running');
CREATE INDEX render_jobs_age ON render_jobs (finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE render_chunks (
    job_id       uuid NOT NULL REFERENCES render_jobs ON DELETE CASCADE,
    number       integer NOT NULL CHECK (number >= 0),
    first        integer NOT NULL,  -- place of its first code among all of the job
    qr_ids       uuid[] NOT NULL,   -- taken when the job was made: what is added or tagged later does not move it
    status       text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'done', 'canceled')),
    done         integer NOT NULL DEFAULT 0,
    failed       integer NOT NULL DEFAULT 0,
    errors       jsonb NOT NULL DEFAULT '[]',
    part         text,  -- its name in the storage
    lease_token  uuid,
    lease_until  timestamptz,
    attempts     smallint NOT NULL DEFAULT 0,
    failures     smallint NOT NULL DEFAULT 0,
    watched      integer,  -- the picture that a worker has in hand, once a worker died with this chunk
    strikes      integer[] NOT NULL DEFAULT '{}',  -- those that workers died with
    PRIMARY KEY (job_id, number),
    CONSTRAINT render_chunks_whole CHECK (status <> 'done' OR (part IS NOT NULL AND done + failed = cardinality(qr_ids)))
) WITH (fillfactor = 85);
-- The first chunks of all jobs, then all second ones: a small job does not wait for the end of a large one.
CREATE INDEX render_chunks_pending ON render_chunks (number, job_id) WHERE status = 'pending';
