DROP TABLE generated_tombstones, generated_images, generated_codes;
