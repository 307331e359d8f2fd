"""DynamoDB under kills: single writes, batches and transactions on a table with an index, and what must be in both after them."""

import json
import random
from typing import Any

from botocore.exceptions import ClientError

from tests.chaos.services.register import Registers, Unanswered, Value, asked

INDEX = "by-colour"
COLOURS = ("red", "green", "blue")
ITEMS = 24
COUNTER = {"pk": {"S": "counter"}, "sk": {"N": "0"}}


def create_table(dynamodb: Any, table: str) -> None:
    dynamodb.create_table(
        TableName=table,
        AttributeDefinitions=[{"AttributeName": name, "AttributeType": kind} for name, kind in (("pk", "S"), ("sk", "N"), ("colour", "S"))],
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        GlobalSecondaryIndexes=[
            {"IndexName": INDEX, "KeySchema": [{"AttributeName": "colour", "KeyType": "HASH"}], "Projection": {"ProjectionType": "ALL"}}
        ],
        BillingMode="PAY_PER_REQUEST",
    )


class ItemWriter:
    """Writes items of its own, all with the partition key ``prefix``; a value is the whole item. One counter is everybody's."""

    kind = "DynamoDB"
    #: How much else an item has, in characters.
    ballast = (0, 10, 3_000, 30_000)

    def __init__(self, dynamodb: Any, table: str, prefix: str, seed: str, *, transactions: bool) -> None:
        self._dynamodb, self._table, self._prefix = dynamodb, table, prefix
        self._chance = random.Random(seed)
        self._transactions = transactions
        self._writes = 0
        self.registers = Registers(self, self._chance)
        #: How often the counter was counted up, and how often perhaps.
        self.counted, self.perhaps = 0, 0

    def read(self, name: str) -> Value:
        answer = asked(self._dynamodb.get_item, TableName=self._table, Key=self._place(name), ConsistentRead=True, ReturnConsumedCapacity="TOTAL")
        if "ConsumedCapacity" not in answer:
            raise Unanswered
        return answer.get("Item")

    def _place(self, name: str) -> dict[str, Any]:
        return {"pk": {"S": self._prefix}, "sk": {"N": name}}

    def step(self) -> None:
        steps = [self._put, self._put, self._update, self._update, self._delete, self._batch, self._count]
        self._chance.choice([*steps, self._transact, self._transact] if self._transactions else steps)()

    def _name(self) -> str:
        return str(self._chance.randrange(ITEMS))

    def _item(self, name: str) -> dict[str, Any]:
        self._writes += 1
        item = {**self._place(name), "write": {"N": str(self._writes)}, "ballast": {"S": "x" * self._chance.choice(self.ballast)}}
        return {**item, "colour": {"S": self._chance.choice(COLOURS)}} if self._chance.random() < 0.8 else item

    def _put(self) -> None:
        item = self._item(name := self._name())
        self.registers.write({name: item}, self._dynamodb.put_item, TableName=self._table, Item=item)

    def _delete(self) -> None:
        name = self._name()
        self.registers.write({name: None}, self._dynamodb.delete_item, TableName=self._table, Key=self._place(name))

    def _update(self) -> None:
        name, change = self._changed()
        self.registers.write({name: change.pop("becomes")}, self._dynamodb.update_item, **change)

    def _changed(self) -> tuple[str, dict[str, Any]]:
        """An update that the item's former state goes into, so that one that is done twice shows."""
        name, colour = self._name(), {"S": self._chance.choice(COLOURS)}
        former = self.registers.known.get(name) or self._place(name)
        times = int(former.get("times", {"N": "0"})["N"]) + 1
        return name, {
            "TableName": self._table,
            "Key": self._place(name),
            "UpdateExpression": "SET colour = :colour ADD times :one",
            "ExpressionAttributeValues": {":colour": colour, ":one": {"N": "1"}},
            "becomes": {**former, "colour": colour, "times": {"N": str(times)}},
        }

    def _batch(self) -> None:
        names = sorted({self._name() for _ in range(8)})
        changes = {name: self._item(name) if self._chance.random() < 0.7 else None for name in names}
        requests = [{"PutRequest": {"Item": item}} if item else {"DeleteRequest": {"Key": self._place(name)}} for name, item in changes.items()]
        self.registers.write(changes, self._write_batch, requests=requests)

    def _write_batch(self, requests: list[dict[str, Any]]) -> None:
        if self._dynamodb.batch_write_item(RequestItems={self._table: requests}).get("UnprocessedItems") != {}:
            raise Unanswered

    def _transact(self) -> None:
        names = sorted({self._name() for _ in range(5)})
        changes: dict[str, Value] = {}
        actions: list[dict[str, Any]] = []
        for name in names:
            changes[name] = item = self._item(name) if self._chance.random() < 0.7 else None
            place = {"TableName": self._table}
            actions.append({"Put": {**place, "Item": item}} if item else {"Delete": {**place, "Key": self._place(name)}})
        self.registers.write(changes, self._dynamodb.transact_write_items, whole=True, TransactItems=actions)

    def _count(self) -> None:
        try:
            asked(
                self._dynamodb.update_item,
                TableName=self._table,
                Key=COUNTER,
                UpdateExpression="ADD times :one",
                ExpressionAttributeValues={":one": {"N": "1"}},
            )
        except Unanswered:
            self.perhaps += 1
            raise
        self.counted += 1

    def finish(self) -> None:
        """Every item as it must be, no other of this writer's in the table, and the same in the index."""
        self.registers.check_all()
        own = {":pk": {"S": self._prefix}}
        base = self._query(KeyConditionExpression="pk = :pk", ExpressionAttributeValues=own)
        self._same("the table", base, [self.registers.known[name] for name in self.registers.present()])
        indexed: list[dict[str, Any]] = []
        for colour in COLOURS:
            values = {":colour": {"S": colour}, **own}
            indexed += self._query(
                IndexName=INDEX, KeyConditionExpression="colour = :colour", FilterExpression="pk = :pk", ExpressionAttributeValues=values
            )
        self._same(f"the index {INDEX}", indexed, [item for item in base if "colour" in item])

    def _query(self, **params: Any) -> list[dict[str, Any]]:
        pages = self._dynamodb.get_paginator("query").paginate(TableName=self._table, **params)
        return [item for page in pages for item in page["Items"]]

    def _same(self, where: str, found: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> None:
        left, right = sorted(map(told, found)), sorted(map(told, wanted))
        if left != right:
            extra, missing = sorted(set(left) - set(right)), sorted(set(right) - set(left))
            self.registers.wrongs.append(f"{where} has {extra} of {self._prefix} that must not be there, and not {missing}")


def told(item: dict[str, Any]) -> str:
    return json.dumps(item, sort_keys=True)


def has_transactions(dynamodb: Any, table: str) -> bool:
    """Whether the service does transactions: a release that does not refuses them by name."""
    item = {"pk": {"S": "try"}, "sk": {"N": "0"}}
    try:
        dynamodb.transact_write_items(TransactItems=[{"Delete": {"TableName": table, "Key": item}}])
    except ClientError as error:
        if error.response["ResponseMetadata"]["HTTPStatusCode"] == 501:
            return False
        raise
    return True


def count_of(dynamodb: Any, table: str) -> int:
    item = dynamodb.get_item(TableName=table, Key=COUNTER, ConsistentRead=True).get("Item", {"times": {"N": "0"}})
    return int(item["times"]["N"])
