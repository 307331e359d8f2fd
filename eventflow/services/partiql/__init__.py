"""PartiQL as DynamoDB speaks it: statements, parsed onto the trees that expressions are made of."""
