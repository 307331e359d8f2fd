-- By which version or alias a function was asked to handle the event; NULL: by none, which is $LATEST.
ALTER TABLE events ADD COLUMN qualifier TEXT;
