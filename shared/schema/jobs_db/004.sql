-- What was asked of the lists beside their length: filters, variety, what is shown. NULL: nothing.
ALTER TABLE jobs ADD COLUMN asked jsonb;
