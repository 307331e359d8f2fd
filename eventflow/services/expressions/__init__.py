"""DynamoDB's expression language: text to syntax tree (cached), tree to functions on items, with DynamoDB's own words for what is wrong."""
