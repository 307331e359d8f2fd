import json
import os


def lambda_handler(event, context):
    return {
        "statusCode": 200,
        "body": json.dumps({"message": "hello world", "path": event["path"], "function": context.function_name, "api": os.environ["API"]}),
    }
