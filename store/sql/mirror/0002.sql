-- What a later version told of a context beside all that this one knows, as it came on the wire: kept to be passed on.
ALTER TABLE contexts ADD COLUMN extra BLOB NOT NULL DEFAULT x'';
