DROP TABLE import_codes, import_rows, imports;
