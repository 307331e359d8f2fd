"""What resources of a template become, and what is refused of them."""

from pathlib import Path
from typing import Any

import pytest

from eventflow.errors import LoadError
from eventflow.function import Destination, Function
from tests.sam.reading import read, resources

CODE = "CodeUri: src, Handler: app.handler, Runtime: python3.11"


def hello(more: str = "") -> str:
    return f"Hello:\n  Type: AWS::Serverless::Function\n  Properties: {{{CODE}{', ' if more else ''}{more}}}\n"


def refusal(folder: Path, text: str, **options: Any) -> str:
    with pytest.raises(LoadError) as raised:
        resources(folder, text, **options)
    return str(raised.value)


@pytest.mark.parametrize(
    ("more", "where"),
    [
        ("MemorySize: 64", "memory=64"),
        ("Timeout: 901", "timeout=901"),
        ("VpcConfig: {SubnetIds: [a], SecurityGroupIds: [b]}", "Hello (AWS::Lambda::Function).VpcConfig"),
        ("Tracing: Active", "Hello (AWS::Lambda::Function).TracingConfig.Mode"),
        ("EphemeralStorage: {Size: 1024}", "EphemeralStorage.Size"),
        ("LoggingConfig: {LogFormat: YAML}", "log_format='YAML'"),
        ("LoggingConfig: {ApplicationLogLevel: DEBUG}", "levels need log_format='JSON'"),
        ("LoggingConfig: {LogGroup: others}", "LoggingConfig.LogGroup"),
        ("KmsKeyArn: arn", "KmsKeyArn"),
        ("FileSystemConfigs: [{Arn: a, LocalMountPath: /mnt/x}]", "FileSystemConfigs"),
        ("Layers: ['arn:aws:lambda:eu-west-1:1:layer:other:3']", "Hello (AWS::Lambda::Function).Layers"),
        ("DeadLetterQueue: {Type: SNS, TargetArn: 'arn:aws:sns:eu-west-1:123456789012:t'}", "DeadLetterConfig.TargetArn"),
        ("AutoPublishAlias: live, ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 901}", "all functions together have at most 900"),
        ("AutoPublishAlias: live, ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 0}", "0 is refused: it takes 1 or more"),
        (
            "AutoPublishAlias: live, ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 3}, ReservedConcurrentExecutions: 2",
            "3 is refused: it is more than the function has reserved (2)",
        ),
        (
            "AutoPublishAlias: live, ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: 3}, SnapStart: {ApplyOn: PublishedVersions}",
            "either SnapStart or provisioned concurrency",
        ),
        ("SnapStart: {ApplyOn: Versions}", "'Versions' is refused: it takes PublishedVersions or None"),
        ("RecursiveLoop: Always", "'Always' is refused: it takes Terminate or Allow"),
        ("Environment: {Variables: {AWS_REGION: x}}", "AWS_REGION is set by the runtime itself"),
        ("FunctionUrlConfig: {AuthType: SOME}", "AuthType"),
        ("Events: {T: {Type: SNS, Properties: {Topic: 'arn:aws:sns:eu-west-1:123456789012:t'}}}", "HelloT (AWS::SNS::Subscription)"),
        (
            "Events: {T: {Type: Kinesis, Properties: {Stream: 'arn:aws:kinesis:eu-west-1:123456789012:stream/s', StartingPosition: LATEST}}}",
            "EventSourceArn",
        ),
        ("Events: {T: {Type: Schedule, Properties: {Schedule: rate(1 fortnight)}}}", "rate(1 fortnight)"),
        ("Events: {T: {Type: SQS, Properties: {Queue: 'arn:aws:sqs:eu-west-1:123456789012:q', BatchSize: 50}}}", "batch_size=50"),
    ],
)
def test_what_is_not_there_is_refused_by_resource_and_property(tmp_path: Path, more: str, where: str) -> None:
    assert where in refusal(tmp_path, hello(more))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello:\n  Type: AWS::Serverless::Function\n  Properties: {CodeUri: src, Runtime: python3.11}\n", "Handler"),
        (hello("Events: {A: {Type: Api}}"), "Hello (AWS::Serverless::Function)"),
        (hello("Events: {A: {Type: Bogus, Properties: {}}}"), "Hello (AWS::Serverless::Function)"),
        (hello("Policies: [{NoSuchPolicy: {}}]"), "Hello (AWS::Serverless::Function)"),
        (hello("Policies: [{S3ReadPolicy: {Nothing: x}}]"), "Hello (AWS::Serverless::Function)"),
        (hello("Policies: [{Statement: [{Effect: Perhaps, Action: '*', Resource: '*'}]}]"), "Effect"),
        (hello("MemorySise: 3"), "Hello (AWS::Serverless::Function)"),
        (hello("Events: {S: {Type: S3, Properties: {Bucket: !Ref Nowhere, Events: 's3:ObjectCreated:*'}}}"), "Hello (AWS::Serverless::Function)"),
        (hello("Role: !GetAtt Nowhere.Arn"), "there is no resource 'Nowhere'"),
        ("Hello: 1\n", "Hello: it takes a mapping with a Type"),
    ],
)
def test_a_broken_template_is_told_with_the_resources_name(tmp_path: Path, text: str, said: str) -> None:
    assert said in refusal(tmp_path, text)


def test_everything_that_is_refused_is_told_at_once_and_lenient_leaves_out_what_is_not_there(tmp_path: Path) -> None:
    text = (
        hello("Tracing: Active, Environment: {Variables: {TOPIC: !Ref Topic}}")
        + "Topic:\n  Type: AWS::SNS::Topic\nPool:\n  Type: AWS::Cognito::UserPool\n"
    )
    said = refusal(tmp_path, text)
    assert said.count("\n  ") == 3
    assert "TracingConfig.Mode" in said
    assert "Topic (AWS::SNS::Topic)" in said
    assert "Pool (AWS::Cognito::UserPool)" in said
    manifest = resources(tmp_path, text, lenient=True)
    assert [function.name for function in manifest.functions] == ["shop-Hello"]
    assert sum(note.startswith("left out: ") for note in manifest.notes) == 3


def test_lenient_does_not_forgive_what_is_wrong(tmp_path: Path) -> None:
    assert "memory=64" in refusal(tmp_path, hello("MemorySize: 64"), lenient=True)


def test_a_function_has_its_settings(tmp_path: Path) -> None:
    text = hello(
        "MemorySize: 512, Timeout: 20, Description: d, ReservedConcurrentExecutions: 3, SnapStart: {ApplyOn: PublishedVersions}, "
        "AutoPublishAlias: live, Tags: {a: b}, Architectures: [arm64], RecursiveLoop: Allow, "
        "DeadLetterQueue: {Type: SQS, TargetArn: !GetAtt Dead.Arn}, "
        "EventInvokeConfig: {MaximumRetryAttempts: 1, MaximumEventAgeInSeconds: 100, "
        "DestinationConfig: {OnSuccess: {Type: Lambda, Destination: !GetAtt Next.Arn}}}"
    )
    text += "Dead: {Type: AWS::SQS::Queue}\n" + hello().replace("Hello:", "Next:")
    manifest = resources(tmp_path, text)
    function = manifest.function("shop-Hello")
    assert (function.memory, function.timeout, function.description, function.reserved_concurrency, function.snap_start) == (512, 20, "d", 3, True)
    assert (function.retries, function.maximum_event_age, function.recursive_loop) == (1, 100, "Allow")
    assert function.on_success == Destination("function", "shop-Next")
    assert function.dead_letter_queue == "shop-Dead"
    assert function.package is not None
    assert (function.handler, function.package.runtime, function.package.folder) == ("app.handler", "python3.11", str(tmp_path / "src"))


def test_rules_that_do_more_than_start_a_function_are_rules(tmp_path: Path) -> None:
    text = hello() + (
        "R:\n  Type: AWS::Events::Rule\n  Properties:\n    EventPattern: {source: [a]}\n"
        "    Targets: [{Id: one, Arn: !GetAtt Hello.Arn, InputPath: $.detail}, {Id: two, Arn: !GetAtt Q.Arn}]\nQ: {Type: AWS::SQS::Queue}\n"
    )
    manifest = resources(tmp_path, text)
    (rule,) = (one for one in manifest.resources if one.kind == "rule")
    assert manifest.triggers == ()
    assert (rule.options["bus"], rule.options["name"]) == ("default", "shop-R")
    assert [target["Arn"].rpartition(":")[2] for target in rule.options["targets"]] == ["shop-Hello", "shop-Q"]
    assert "RunCommandParameters" in refusal(tmp_path, text.replace("{Id: two,", "{Id: two, RunCommandParameters: {},"))
    assert "is a function of this template, or a queue" in refusal(tmp_path, text.replace("!GetAtt Q.Arn", "'arn:aws:sns:eu-west-1:123456789012:t'"))


def test_an_alias_with_provisioned_concurrency_has_the_function_warm(tmp_path: Path) -> None:
    text = hello("AutoPublishAlias: live, ProvisionedConcurrencyConfig: {ProvisionedConcurrentExecutions: '2'}, ReservedConcurrentExecutions: 2")
    function = resources(tmp_path, text).function("shop-Hello")
    assert (function.provisioned_concurrency, Function.from_json(function.to_json())) == (2, function)


#: What `sam init` writes where X-Ray, JSON logs and Application Insights are asked for.
STARTER = """
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Description: Sample SAM Template
Globals:
  Function:
    Timeout: 3
    MemorySize: 128
    Tracing: Active
    LoggingConfig: {LogFormat: JSON}
  Api: {TracingEnabled: true}
Resources:
  HelloWorldFunction:
    Type: AWS::Serverless::Function
    Metadata: {BuildMethod: esbuild}
    Properties:
      CodeUri: src/
      Handler: app.lambda_handler
      Runtime: python3.11
      Architectures: [x86_64]
      Events: {HelloWorld: {Type: Api, Properties: {Path: /hello, Method: get}}}
  ApplicationResourceGroup:
    Type: AWS::ResourceGroups::Group
    Properties:
      Name: !Sub ApplicationInsights-SAM-${AWS::StackName}
      ResourceQuery: {Type: CLOUDFORMATION_STACK_1_0}
  ApplicationInsightsMonitoring:
    Type: AWS::ApplicationInsights::Application
    Properties: {ResourceGroupName: !Ref ApplicationResourceGroup, AutoConfigurationEnabled: 'true'}
Outputs:
  HelloWorldApi: {Value: !Sub 'https://${ServerlessRestApi}.execute-api.${AWS::Region}.amazonaws.com/Prod/hello/'}
  HelloWorldFunctionIamRole: {Value: !GetAtt HelloWorldFunctionRole.Arn}
"""


def test_what_sam_inits_template_has_and_is_not_here_is_one_list_and_runs_with_lenient(tmp_path: Path) -> None:
    with pytest.raises(LoadError) as raised:
        read(tmp_path, STARTER)
    said = str(raised.value)
    assert "What eventflow does not have is left out with --lenient." in said
    places = [line.strip().split(": ")[0] for line in said.splitlines()[1:]]
    assert sorted(places) == [
        "ApplicationInsightsMonitoring (AWS::ApplicationInsights::Application)",
        "ApplicationResourceGroup (AWS::ResourceGroups::Group)",
        "HelloWorldFunction (AWS::Lambda::Function).TracingConfig.Mode",
        "ServerlessRestApiProdStage (AWS::ApiGateway::Stage).TracingEnabled",
    ]
    manifest = read(tmp_path, STARTER, lenient=True)
    assert [(function.name, function.log_format) for function in manifest.functions] == [("shop-HelloWorldFunction", "JSON")]
    assert sum(note.startswith("left out: ") for note in manifest.notes) == len(places)


STAGE = "S: {Type: AWS::ApiGateway::Stage, Properties: {RestApiId: %s, StageName: s}}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Rules: {R: {Assertions: []}}\nResources: {Q: {Type: AWS::SQS::Queue}}\n", "Rules: nothing here would heed this section"),
        ("Hooks: {}\nResources: {Q: {Type: AWS::SQS::Queue}}\n", "Hooks: nothing here would heed this section"),
        ("Resourses: {}\nResources: {Q: {Type: AWS::SQS::Queue}}\n", "Resourses: a template has no such section"),
        ("Resources: {Q: {Type: AWS::SQS::Queue, Propertys: {}}}\n", "Q (AWS::SQS::Queue).Propertys: a resource has no such attribute"),
        ("Resources: {Q: {Type: AWS::SQS::Queue, UpdatePolicy: {}}}\n", "Q (AWS::SQS::Queue).UpdatePolicy: resources are made"),
        ("Resources:\n  " + STAGE % "elsewhere", "S (AWS::ApiGateway::Stage).RestApiId: 'elsewhere' is no API of this template"),
        (
            "Resources:\n  D: {Type: AWS::ApiGateway::Deployment, Properties: {RestApiId: r, StageName: live}}\n",
            "D (AWS::ApiGateway::Deployment).StageName",
        ),
        (
            "Resources:\n  D: {Type: AWS::ApiGateway::Deployment, Properties: {RestApiId: r, DeploymentCanarySettings: {}}}\n",
            "D (AWS::ApiGateway::Deployment).DeploymentCanarySettings",
        ),
        (
            "Resources: {A: {Type: AWS::ApiGatewayV2::Api, Properties: {Body: {openapi: 3.0.1, paths: {}}, BasePath: prepend}}}\n",
            "A (AWS::ApiGatewayV2::Api).BasePath: 'prepend'",
        ),
    ],
)
def test_what_would_have_no_effect_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(LoadError) as raised:
        read(tmp_path, text)
    assert said in str(raised.value)


RETRIES = "RetryPolicy: {MaximumRetryAttempts: '3', MaximumEventAgeInSeconds: 600}"
LETTERS = "DeadLetterConfig: {Arn: !GetAtt Dead.Arn}"
DELIVERY = f"{RETRIES}, {LETTERS}"
DELIVERED = {
    "RetryPolicy": {"MaximumRetryAttempts": 3, "MaximumEventAgeInSeconds": 600},
    "DeadLetterConfig": {"Arn": "arn:aws:sqs:eu-west-1:123456789012:shop-Dead"},
}


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ("Type: EventBridgeRule, Properties: {Pattern: {source: [a]}", "rule"),
        ("Type: Schedule, Properties: {Schedule: rate(1 hour), Input: '{}'", "rule"),
        ("Type: ScheduleV2, Properties: {ScheduleExpression: rate(1 hour), Input: '{}'", "schedule"),
    ],
)
def test_a_retry_policy_and_dead_letters_of_an_event_are_those_of_a_rule_or_a_schedule(tmp_path: Path, event: str, kind: str) -> None:
    text = hello(f"Events: {{E: {{{event}, {DELIVERY}}}}}}}") + "Dead: {Type: AWS::SQS::Queue}\n"
    manifest = resources(tmp_path, text)
    assert manifest.triggers == ()
    (made,) = (one for one in manifest.resources if one.kind == kind)
    target = made.options["Target"] if kind == "schedule" else made.options["targets"][0]
    assert {member: target[member] for member in DELIVERED} == DELIVERED
    assert "MaximumRetryAttempts: 186 is refused" in refusal(tmp_path, text.replace("'3'", "186"))
    for alone in (RETRIES, LETTERS):
        (made,) = (one for one in resources(tmp_path, text.replace(DELIVERY, alone)).resources if one.kind == kind)
        assert len([member for member in DELIVERED if member in str(made.options)]) == 1
    topic = text.replace("!GetAtt Dead.Arn", "'arn:aws:sns:eu-west-1:123456789012:t'")
    assert "DeadLetterConfig.Arn: 'arn:aws:sns" in refusal(tmp_path, topic)
    (lenient,) = (one for one in resources(tmp_path, topic, lenient=True).resources if one.kind == kind)
    assert "DeadLetterConfig" not in str(lenient.options)


@pytest.mark.parametrize(
    ("target", "schedule"),
    [
        ("Arn: !GetAtt Hello.Arn, Input: '{}'", False),
        ("Arn: !GetAtt Hello.Arn", True),
        ('Arn: !GetAtt Hello.Arn, Input: \'{"when": "<aws.scheduler.scheduled-time>"}\'', True),
        ("Arn: !GetAtt Q.Arn, Input: text", True),
        ("Arn: !GetAtt B.Arn, EventBridgeParameters: {DetailType: d, Source: s}", True),
    ],
)
def test_a_schedule_is_a_trigger_where_one_does_all_that_it_says(tmp_path: Path, target: str, schedule: bool) -> None:
    text = hello() + (
        "S:\n  Type: AWS::Scheduler::Schedule\n  Properties:\n    ScheduleExpression: rate(1 hour)\n    FlexibleTimeWindow: {Mode: 'OFF'}\n"
        f"    Target: {{RoleArn: r, {target}}}\nQ: {{Type: AWS::SQS::Queue}}\nB: {{Type: AWS::Events::EventBus, Properties: {{Name: b}}}}\n"
    )
    made = [one for one in resources(tmp_path, text).resources if one.kind == "schedule"]
    assert bool(made) == schedule
    window = text.replace("{Mode: 'OFF'}", "{Mode: FLEXIBLE, MaximumWindowInMinutes: 10}")
    (flexible,) = (one for one in resources(tmp_path, window).resources if one.kind == "schedule")
    assert flexible.options["FlexibleTimeWindow"] == {"Mode": "FLEXIBLE", "MaximumWindowInMinutes": 10}
    assert "rate(1 fortnight)" in refusal(tmp_path, text.replace("1 hour", "1 fortnight"))
    assert "Target.EcsParameters" in refusal(tmp_path, text.replace("RoleArn: r", "RoleArn: r, EcsParameters: {}, RetryPolicy: {}"))


def test_a_log_group_of_a_function_is_refused(tmp_path: Path) -> None:
    assert "--retention-days" in refusal(
        tmp_path, f"{hello()}L: {{Type: AWS::Logs::LogGroup, Properties: {{LogGroupName: !Sub '/aws/lambda/${{Hello}}'}}}}\n"
    )


def test_destinations_are_queues_functions_buses_and_buckets(tmp_path: Path) -> None:
    text = hello(
        "EventInvokeConfig: {DestinationConfig: {OnSuccess: {Type: EventBridge, Destination: !GetAtt Bus.Arn}, "
        "OnFailure: {Type: SQS, Destination: 'arn:aws:sqs:eu-west-1:123456789012:elsewhere'}}}"
    )
    manifest = resources(tmp_path, f"{text}Bus: {{Type: AWS::Events::EventBus, Properties: {{Name: b}}}}\n")
    assert manifest.functions[0].on_success == Destination("bus", "b")
    assert manifest.functions[0].on_failure == Destination("queue", "elsewhere")
    assert ("queue", "elsewhere") in [(one.kind, one.name) for one in manifest.resources]


def test_policies_are_kept_with_the_functions_that_have_them(tmp_path: Path) -> None:
    manifest = resources(tmp_path, hello("Policies: [AmazonS3ReadOnlyAccess, {SQSPollerPolicy: {QueueName: q}}]"))
    (role,) = (one for one in manifest.resources if one.kind == "role")
    assert role.options["functions"] == ["shop-Hello"]
    assert role.options["policies"][0]["document"]["Statement"][0]["Resource"] == "arn:aws:sqs:eu-west-1:123456789012:q"


def test_globals_are_every_functions_and_its_own_settings_win(tmp_path: Path) -> None:
    text = (
        "Transform: AWS::Serverless-2016-10-31\nGlobals: {Function: {Timeout: 7, Runtime: python3.11, CodeUri: src, "
        "Environment: {Variables: {AA: g, BB: g}}}}\n"
        "Resources:\n  One: {Type: AWS::Serverless::Function, Properties: {Handler: a.b, Timeout: 9, Environment: {Variables: {BB: own}}}}\n"
        "  Two: {Type: AWS::Serverless::Function, Properties: {Handler: a.b}}\n"
    )
    one, two = (read(tmp_path, text).function(f"shop-{name}") for name in ("One", "Two"))
    assert (one.timeout, dict(one.environment)) == (9, {"AA": "g", "BB": "own"})
    assert (two.timeout, dict(two.environment)) == (7, {"AA": "g", "BB": "g"})


def test_a_resource_whose_condition_does_not_hold_is_not_there(tmp_path: Path) -> None:
    text = """
    Parameters: {Stage: {Type: String, Default: dev}}
    Conditions: {IsProd: !Equals [!Ref Stage, prod]}
    Resources:
      Q: {Type: AWS::SQS::Queue, Condition: IsProd}
      Topic: {Type: AWS::SNS::Topic, Condition: IsProd}
      B: {Type: AWS::S3::Bucket, DependsOn: Q}
    Outputs:
      Queue: {Condition: IsProd, Value: !Ref Q}
      Bucket: {Value: !GetAtt B.Arn}
    """
    manifest = read(tmp_path, text)
    assert [(one.kind, one.name) for one in manifest.resources] == [("bucket", "shop-b")]
    assert manifest.notes == ("Bucket: arn:aws:s3:::shop-b",)
    with pytest.raises(LoadError, match=r"Topic \(AWS::SNS::Topic\)"):
        read(tmp_path, text, overrides={"Stage": "prod"})


def test_names_are_those_of_the_template_or_made_valid_for_the_service(tmp_path: Path) -> None:
    long = "L" * 60
    text = f"""
    Resources:
      MyBucket: {{Type: AWS::S3::Bucket}}
      Named: {{Type: AWS::SQS::Queue, Properties: {{QueueName: !Sub "${{AWS::StackName}}-${{Other}}"}}}}
      Other:
        Type: AWS::DynamoDB::Table
        Properties: {{KeySchema: [{{AttributeName: a, KeyType: HASH}}], AttributeDefinitions: [{{AttributeName: a, AttributeType: S}}]}}
      Fifo: {{Type: AWS::SQS::Queue, Properties: {{FifoQueue: "true"}}}}
      {long}: {{Type: AWS::S3::Bucket}}
    """
    names = [one.name for one in read(tmp_path, text).resources]
    assert names[:4] == ["shop-shop-Other", "shop-Fifo.fifo", "shop-Other", "shop-mybucket"]
    assert len(names[4]) == 63
    assert names == [one.name for one in read(tmp_path, text).resources]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("{QueueName: 'a b'}", "queue name"),
        ("{FifoQueue: true, QueueName: plain}", "FifoQueue"),
        ("{KmsMasterKeyId: k}", "KmsMasterKeyId"),
        ("{RedrivePolicy: {deadLetterTargetArn: !GetAtt Q.Arn}}", "maxReceiveCount"),
    ],
)
def test_a_queue_that_cannot_be_is_refused(tmp_path: Path, given: str, said: str) -> None:
    assert said in refusal(tmp_path, f"Q: {{Type: AWS::SQS::Queue, Properties: {given}}}\n")


def test_a_queue_whose_messages_would_come_too_early_again_is_refused_in_lambdas_words(tmp_path: Path) -> None:
    text = hello("Timeout: 60, Events: {T: {Type: SQS, Properties: {Queue: !GetAtt Q.Arn}}}") + "Q: {Type: AWS::SQS::Queue}\n"
    assert "Queue visibility timeout: 30 seconds is less than Function timeout: 60 seconds" in refusal(tmp_path, text)


def test_several_events_of_one_bucket_filter_are_one_trigger(tmp_path: Path) -> None:
    text = (
        hello("Events: {A: {Type: S3, Properties: {Bucket: !Ref B, Events: ['s3:ObjectCreated:Put', 's3:ObjectRemoved:*']}}}")
        + "B: {Type: AWS::S3::Bucket}\n"
    )
    (entry,) = resources(tmp_path, text).triggers
    assert (entry.kind, entry.parameters["events"]) == ("bucket", ["ObjectCreated:Put", "ObjectRemoved:*"])


def test_two_apis_of_a_kind_have_places_of_their_own(tmp_path: Path) -> None:
    text = "One: {Type: AWS::Serverless::Api, Properties: {StageName: v1}}\nTwo: {Type: AWS::Serverless::Api, Properties: {StageName: v1}}\n" + hello(
        "Environment: {Variables: {URL: !Sub 'https://${Two}.execute-api.${AWS::Region}.amazonaws.com/v1/x'}}, "
        "Events: {A: {Type: Api, Properties: {Path: /a, Method: get, RestApiId: !Ref One}}, "
        "B: {Type: Api, Properties: {Path: /x, Method: get, RestApiId: !Ref Two}}}"
    )
    manifest = resources(tmp_path, text)
    apis = {one.name: one.options for one in manifest.resources if one.kind == "api"}
    assert {name: options["base_path"] for name, options in apis.items()} == {"REST/one": "/one/v1", "REST/two": "/two/v1"}
    assert manifest.functions[0].environment["URL"].endswith("/two/v1/x")


def test_an_api_made_of_a_document_of_swagger_is_one_of_openapi(tmp_path: Path) -> None:
    (tmp_path / "api.yaml").write_text(
        """
        swagger: "2.0"
        info: {title: t, version: "1"}
        definitions: {Item: {type: object}}
        paths:
          /items/{id}:
            post:
              consumes: [application/json]
              parameters:
                - {name: id, in: path, required: true, type: string}
                - {name: Item, in: body, required: true, schema: {$ref: "#/definitions/Item"}}
              responses: {200: {description: ok, schema: {$ref: "#/definitions/Item"}}}
              x-amazon-apigateway-integration:
                type: aws_proxy
                httpMethod: POST
                uri: {Fn::Sub: "arn:aws:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions/${Hello.Arn}/invocations"}
        """
    )
    text = hello() + "Shop: {Type: AWS::Serverless::Api, Properties: {StageName: live, DefinitionUri: api.yaml}}\n"
    (api,) = (one for one in resources(tmp_path, text).resources if one.kind == "api")
    document = api.options["openapi"]
    operation = document["paths"]["/items/{id}"]["post"]
    assert document["openapi"].startswith("3.")
    assert operation["parameters"] == [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
    assert operation["requestBody"]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Item"}
    assert operation["x-amazon-apigateway-integration"]["uri"].endswith(":function:shop-Hello/invocations")


def test_an_alias_means_the_function(tmp_path: Path) -> None:
    text = hello("AutoPublishAlias: live, Events: {T: {Type: Schedule, Properties: {Schedule: rate(5 minutes)}}}")
    (entry,) = resources(tmp_path, text).triggers
    assert (entry.function, entry.kind) == ("shop-Hello", "schedule")
