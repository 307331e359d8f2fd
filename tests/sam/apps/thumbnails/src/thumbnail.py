import os

import boto3
from shared import smaller

s3 = boto3.client("s3")
table = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def handler(event, context):
    for record in event["Records"]:
        bucket, key = record["s3"]["bucket"]["name"], record["s3"]["object"]["key"]
        data = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        s3.put_object(Bucket=os.environ["BUCKET"], Key=key, Body=smaller(data, os.environ["WIDTH"]))
        table.put_item(Item={"key": key, "size": len(data), "stage": os.environ["STAGE"]})
