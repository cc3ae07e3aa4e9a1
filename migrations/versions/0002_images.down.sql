DROP TABLE statistics_tags, qr_customizations;
