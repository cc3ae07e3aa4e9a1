-- How a code's picture differs from plain black on white. A code without a row has the defaults.
CREATE TABLE qr_customizations (
    qr_code_id         uuid PRIMARY KEY REFERENCES qr_codes ON DELETE CASCADE,
    foreground_color   text NOT NULL DEFAULT '#000000'
                       CONSTRAINT qr_customizations_foreground CHECK (foreground_color ~ '^#[0-9A-Fa-f]{6}$'),
    background_color   text NOT NULL DEFAULT '#FFFFFF'
                       CONSTRAINT qr_customizations_background CHECK (background_color ~ '^#[0-9A-Fa-f]{6}$'),
    style              text NOT NULL DEFAULT 'squares'
                       CONSTRAINT qr_customizations_style CHECK (style IN ('squares', 'dots', 'rounded')),
    logo_size_percent  smallint NOT NULL DEFAULT 20  -- of the symbol's width
                       CONSTRAINT qr_customizations_logo_size CHECK (logo_size_percent BETWEEN 10 AND 30),
    logo               bytea CONSTRAINT qr_customizations_logo_bounded CHECK (octet_length(logo) <= 8388608),  -- PNG, re-encoded by us
    logo_digest        text CHECK (logo_digest ~ '^[0-9a-f]{64}$'),  -- SHA-256: known without reading the logo
    updated_at         timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT qr_customizations_logo_whole CHECK ((logo IS NULL) = (logo_digest IS NULL))
);
ALTER TABLE qr_customizations ALTER COLUMN logo SET STORAGE EXTERNAL;  -- a PNG does not compress again

-- Cached statistics of an organization are named by its tag, and a change of what they count gives it a new one in the
-- same transaction: an answer from before the change is never found again. Random, so that no restore brings one back.
CREATE TABLE statistics_tags (
    org_id  uuid PRIMARY KEY REFERENCES organizations ON DELETE CASCADE,
    tag     uuid NOT NULL DEFAULT gen_random_uuid()
);
