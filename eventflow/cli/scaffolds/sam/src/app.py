"""A handler as it is on AWS Lambda; template.yaml says what starts it."""

import json
import os

import boto3


def say(event, context):
    words = boto3.resource("dynamodb").Table(os.environ["WORDS_TABLE"])
    word = event["pathParameters"]["word"]
    said = words.update_item(
        Key={"word": word},
        UpdateExpression="ADD times :one",
        ExpressionAttributeValues={":one": 1},
        ReturnValues="UPDATED_NEW",
    )
    return {"statusCode": 200, "body": json.dumps({"word": word, "times": int(said["Attributes"]["times"])})}
