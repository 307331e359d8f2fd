"""DynamoDB's data: attribute values as AWS shapes them (``{"S": "text"}``, binary as bytes), and the numbers among them."""
