"""Templates as people have them, run by a real daemon and used with boto3 and HTTP."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from tests.sam.template_daemon import TemplateDaemon, template_daemon

pytestmark = pytest.mark.slow
PORTS = ("--gateway-port", "0")
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="there is no node on this machine")


def invoke(daemon: TemplateDaemon, function: str, payload: Any = None) -> Any:
    answer = daemon.client("lambda").invoke(FunctionName=function, Payload=json.dumps(payload or {}))
    value = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, value
    return value


def test_the_hello_world_of_sam_init_in_python_answers_at_its_api(tmp_path: Path) -> None:
    with template_daemon(tmp_path, "hello-python") as daemon:
        daemon.start(*PORTS)
        status, body, _headers = daemon.get("/Prod/hello")
        gateway = daemon.facts["gateway"]
        assert status == 200
        assert json.loads(body) == {
            "message": "hello world",
            "path": "/hello",
            "function": "hello-stack-HelloWorldFunction",
            "api": f"{gateway}/Prod/hello/",
        }
        assert daemon.get("/Prod/other")[0] == 403
        log = daemon.log.read_text()
        assert f"HelloWorldApi: {gateway}/Prod/hello/" in log
        assert "Permissions are not enforced yet" in log


@needs_node
def test_the_hello_world_of_sam_init_in_node_answers_at_its_api(tmp_path: Path) -> None:
    with template_daemon(tmp_path, "hello-node") as daemon:
        daemon.start(*PORTS)
        status, body, _headers = daemon.get("/Prod/hello")
        assert (status, json.loads(body)) == (200, {"message": "hello world", "method": "GET", "function": "hello-node-HelloWorldFunction"})


def test_a_bucket_starts_a_function_with_a_layer_that_writes_to_another_bucket_and_a_table(tmp_path: Path) -> None:
    with template_daemon(tmp_path, "thumbnails") as daemon:
        daemon.start("--parameter-overrides", "Width=4", "Audited=yes")
        s3, table = daemon.client("s3"), daemon.client("dynamodb")
        s3.put_object(Bucket="uploads-dev-000000000000", Key="cat.jpg", Body=b"0123456789")
        s3.put_object(Bucket="uploads-dev-000000000000", Key="cat.txt", Body=b"no picture")
        item = daemon.until(
            lambda: table.get_item(TableName="thumbnails-Images", Key={"key": {"S": "cat.jpg"}}).get("Item"), "the thumbnail is in the table"
        )
        assert item == {"key": {"S": "cat.jpg"}, "size": {"N": "10"}, "stage": {"S": "dev"}}
        assert s3.get_object(Bucket="thumbnails-thumbnails", Key="cat.jpg")["Body"].read() == b"0123"
        assert table.scan(TableName="thumbnails-Images")["Count"] == 1
        assert s3.get_bucket_versioning(Bucket="thumbnails-thumbnails")["Status"] == "Enabled"
        (cors,) = s3.get_bucket_cors(Bucket="thumbnails-thumbnails")["CORSRules"]
        assert cors == {"AllowedMethods": ["GET"], "AllowedOrigins": ["*"], "ExposeHeaders": ["etag"], "MaxAgeSeconds": 10}
        (group,) = daemon.client("logs").describe_log_groups()["logGroups"]
        assert (group["logGroupName"], group["retentionInDays"]) == ("thumbnails", 7)
        settings = daemon.control("status")["functions"][0]
        assert settings["environment"]["AUDIT"] == f"{daemon.facts['url']}/000000000000/thumbnails-AuditQueue"


def test_a_queue_a_table_and_its_stream_with_partial_failures_and_destinations(tmp_path: Path) -> None:
    with template_daemon(tmp_path, "orders") as daemon:
        daemon.start()
        sqs, dynamodb = daemon.client("sqs"), daemon.client("dynamodb")
        orders, failures, broken = (sqs.get_queue_url(QueueName=f"orders-{name}")["QueueUrl"] for name in ("Orders", "Failures", "Broken"))
        for order in ({"id": "1", "customer": "ada"}, {"id": "2", "bad": True}):
            sqs.send_message(QueueUrl=orders, MessageBody=json.dumps(order))
        shipped = daemon.until(lambda: sqs.receive_message(QueueUrl=failures, WaitTimeSeconds=1).get("Messages"), "the order is shipped")
        assert [message["Body"] for message in shipped] == ["shipped 1"]
        found = dynamodb.query(
            TableName="orders-Table",
            IndexName="by-customer",
            KeyConditionExpression="customer = :c",
            ExpressionAttributeValues={":c": {"S": "ada"}},
        )
        assert [item["id"]["S"] for item in found["Items"]] == ["1"]
        lifetime = dynamodb.describe_time_to_live(TableName="orders-Table")["TimeToLiveDescription"]
        assert lifetime["AttributeName"] == "expires"
        sqs.delete_message(QueueUrl=failures, ReceiptHandle=shipped[0]["ReceiptHandle"])
        daemon.client("lambda").invoke(FunctionName="orders-Ship", InvocationType="Event", Payload=b'{"no": "records"}')
        record = daemon.until(lambda: sqs.receive_message(QueueUrl=failures, WaitTimeSeconds=1).get("Messages"), "the failure is told")
        assert json.loads(record[0]["Body"])["requestContext"]["condition"] == "RetriesExhausted"
        policy = sqs.get_queue_attributes(QueueUrl=orders, AttributeNames=["RedrivePolicy"])["Attributes"]["RedrivePolicy"]
        assert json.loads(policy) == {"deadLetterTargetArn": "arn:aws:sqs:us-east-1:000000000000:orders-Broken", "maxReceiveCount": 1}
        assert broken.endswith("/orders-Broken")


def test_rules_on_two_buses_start_a_function_whose_code_stands_in_the_template(tmp_path: Path) -> None:
    with template_daemon(tmp_path, "events") as daemon:
        daemon.start()

        def environments() -> int:
            return sum(daemon.control("status")["functions"][0]["environments"].values())

        daemon.until(lambda: environments() >= 2, "as many environments as are provisioned are there")
        daemon.client("events").put_events(
            Entries=[
                {"EventBusName": "events-shop", "Source": "shop", "DetailType": "sold", "Detail": "{}"},
                {"EventBusName": "events-shop", "Source": "shop", "DetailType": "bought", "Detail": "{}"},
                {"Source": "old", "DetailType": "ancient", "Detail": "{}"},
            ]
        )
        dynamodb = daemon.client("dynamodb")

        def seen() -> set[str]:
            return {item["what"]["S"] for item in dynamodb.scan(TableName="events-Seen")["Items"]} - {"minute", "night"}

        daemon.until(lambda: seen() == {"sold", "ancient"}, "both events have started the function")
        copied = {"EventBusName": "events-shop", "Source": "shop", "DetailType": "copied", "Detail": '{"what": "transformed"}'}
        daemon.client("events").put_events(Entries=[copied])
        daemon.until(lambda: "transformed" in seen(), "the rule's input has reached the function")
        sqs = daemon.client("sqs")
        copies = sqs.get_queue_url(QueueName="events-Copies")["QueueUrl"]
        message = daemon.until(lambda: sqs.receive_message(QueueUrl=copies, WaitTimeSeconds=1).get("Messages"), "the queue has the event's detail")
        assert json.loads(message[0]["Body"]) == {"what": "transformed"}
        ticks = sqs.get_queue_url(QueueName="events-Ticks")["QueueUrl"]
        (tick,) = daemon.until(lambda: sqs.receive_message(QueueUrl=ticks, WaitTimeSeconds=1).get("Messages"), "the schedule has sent its input")
        assert tick["Body"] == "tick"
        assert daemon.client("scheduler").get_schedule(Name="events-Tick")["Target"]["RetryPolicy"]["MaximumRetryAttempts"] == 3
        done = daemon.cli("invoke", "Listen", "--payload", '{"what": "by its logical id"}')
        assert (done.returncode, done.stdout) == (0, "null\n"), done.stderr
        assert "START RequestId" in daemon.cli("logs", "Listen").stdout
        daemon.app.write_text(daemon.app.read_text().partition("  Copies:")[0])
        daemon.client("events").put_rule(Name="mine", EventPattern='{"source": ["x"]}')
        daemon.stop()
        daemon.start()
        rules = [rule["Name"] for bus in ("events-shop", "default") for rule in daemon.client("events").list_rules(EventBusName=bus)["Rules"]]
        assert rules == ["mine"], "a rule that the template no longer has is gone, and others' rules stay"
        kinds = sorted(trigger["kind"] for trigger in daemon.control("status")["triggers"] if "kind" in trigger)
        assert kinds in ([], ["bus", "bus", "schedule", "schedule"])
        assert daemon.client("scheduler").list_schedules()["Schedules"] == [], "nor is a schedule that the template no longer has"


@needs_node
def test_an_http_api_with_cors_and_a_function_url_of_node_functions(tmp_path: Path) -> None:
    with template_daemon(tmp_path, "http") as daemon:
        daemon.start(*PORTS)
        status, body, headers = daemon.get("/items/7", headers={"Origin": "https://shop.example"})
        assert (status, json.loads(body)) == (200, {"id": "7", "version": "2.0"})
        assert headers["access-control-allow-origin"] == "https://shop.example"
        preflight = daemon.get("/items", None, {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}, "OPTIONS")
        assert preflight[0] == 204
        assert preflight[2]["access-control-max-age"] == "600"
        links = invoke(daemon, "http-Links")
        assert links["api"] == f"{daemon.facts['gateway']}/items"
        assert daemon.get(links["url"], b"hello", {"content-type": "text/plain"})[:2] == (201, "hello")


def test_a_plain_cloudformation_template_in_json_survives_a_kill(tmp_path: Path) -> None:
    with template_daemon(tmp_path, "plain", "template.json") as daemon:
        daemon.start()
        sqs = daemon.client("sqs")
        queue = sqs.get_queue_url(QueueName="plain-Jobs.fifo")["QueueUrl"]
        sqs.send_message(QueueUrl=queue, MessageBody="one", MessageGroupId="g")
        daemon.until(lambda: daemon.client("dynamodb").scan(TableName="plain-done")["Count"] == 1, "the job is done")
        daemon.kill()
        daemon.start()
        sqs = daemon.client("sqs")
        sqs.send_message(QueueUrl=sqs.get_queue_url(QueueName="plain-Jobs.fifo")["QueueUrl"], MessageBody="two", MessageGroupId="g")
        daemon.until(lambda: daemon.client("dynamodb").scan(TableName="plain-done")["Count"] == 2, "the second job is done")
        (described,) = daemon.client("lambda").list_functions()["Functions"]
        assert (described["FunctionName"], described["Timeout"]) == ("plain-Worker", 20)


def test_dev_loads_the_template_again_when_it_or_the_code_changes(tmp_path: Path) -> None:
    with template_daemon(tmp_path, "hello-node") as daemon:
        template, code = daemon.app, tmp_path / "elsewhere/first"
        code.parent.mkdir()
        code.write_text("first")
        (code.parent / "app.py").write_text(
            "from pathlib import Path\nword = (Path(__file__).parent / 'first').read_text()\nhandler = lambda *_: word\n"
        )
        text = template.read_text().replace("nodejs20.x", "python3.11").replace("app.lambdaHandler", "app.handler")
        text = text.replace("hello-world/", "../elsewhere")
        template.write_text(text)
        daemon.start(*PORTS, verb="dev")
        name = "hello-node-HelloWorldFunction"
        assert invoke(daemon, name) == "first"
        code.write_text("second")
        daemon.until(lambda: invoke(daemon, name) == "second", "the code is loaded again")
        template.write_text(text.replace("Timeout: 10", "Timeout: 11"))
        daemon.until(lambda: daemon.client("lambda").get_function_configuration(FunctionName=name)["Timeout"] == 11, "the template is loaded again")
        template.write_text(text.replace("Runtime: python3.11", "Runtime: cobol85"))
        daemon.until(lambda: "cobol85" in daemon.log.read_text(), "the broken template is refused")
        assert invoke(daemon, name) == "second"


def test_a_template_that_asks_for_what_is_not_there_starts_nothing(tmp_path: Path) -> None:
    with template_daemon(tmp_path, "events") as daemon:
        text = daemon.app.read_text()
        daemon.app.write_text(f"{text}  Topic:\n    Type: AWS::SNS::Topic\n")
        done = daemon.start(ready=False).process
        assert done is not None
        assert done.wait(60) == 1
        log = daemon.log.read_text()
        assert "Topic (AWS::SNS::Topic): eventflow does not have this type of resource." in log
        assert "--lenient" in log
        daemon.start("--lenient")
        assert "left out: Topic (AWS::SNS::Topic)" in daemon.log.read_text()


def test_the_sample_keeps_notes_and_copies_them(tmp_path: Path) -> None:
    shutil.copytree(Path(__file__).parents[2] / "samples/sam", tmp_path / "sam")
    daemon = TemplateDaemon(tmp_path / "sam", "template.yaml")
    try:
        daemon.app = daemon.folder  # as its README says: the folder stands for its template
        daemon.start(*PORTS)
        assert daemon.get("/notes/1", b'{"text": "milk"}', {"content-type": "application/json"}, "PUT")[0] == 201
        status, body, _headers = daemon.get("/notes/1")
        assert (status, json.loads(body)) == (200, {"id": "1", "text": "milk"})
        assert daemon.get("/notes/2")[0] == 404
        copy = daemon.bucket("sam-copies") / "1.txt"
        daemon.until(copy.exists, "the note is copied")
        assert copy.read_text() == "milk"
    finally:
        daemon.end()
