DROP INDEX idempotency_keys_told;
DROP TABLE erasures;
ALTER TABLE players DROP COLUMN erased_at;
-- Reasons that older versions do not know become the one that says as little.
UPDATE refresh_families SET revoked_for = 'logout' WHERE revoked_for IN ('password', 'erased', 'operator');
ALTER TABLE refresh_families
    DROP CONSTRAINT refresh_families_revoked_for_check,
    ADD CONSTRAINT refresh_families_revoked_for_check CHECK (revoked_for IN ('logout', 'reuse'));
