-- Guests are players without credentials. A login may now also end with the password it began with, with its player, or
-- by an operator's hand.
ALTER TABLE refresh_families
    DROP CONSTRAINT refresh_families_revoked_for_check,
    ADD CONSTRAINT refresh_families_revoked_for_check CHECK (
        revoked_for IN ('logout', 'reuse', 'password', 'erased', 'operator'));

-- Erasure leaves a tombstone: ledgers and counts point at it. From this moment on nobody is behind it.
ALTER TABLE players ADD COLUMN erased_at timestamptz;

-- What an erasure has still to look through: scans that were being judged, or handed in, while it ran.
CREATE TABLE erasures (
    player_id  uuid PRIMARY KEY REFERENCES players ON DELETE CASCADE,
    began_at   timestamptz NOT NULL DEFAULT now()
);

-- Stored answers by the player they tell of, whoever asked: an erasure does not read all answers of a day.
CREATE INDEX idempotency_keys_told ON idempotency_keys ((substring(answer, '"player_id": ?"([0-9a-f-]{36})"')))
    WHERE substring(answer, '"player_id": ?"([0-9a-f-]{36})"') IS NOT NULL;
