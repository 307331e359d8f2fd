import subprocess
import sys

from eventflow.context import Context


def test_the_members_are_lambdas():
    context = Context("thumbnail", memory_limit_in_mb=512, aws_request_id="id", log_stream_name="stream")
    assert context.function_name == "thumbnail"
    assert context.function_version == "$LATEST"
    assert context.memory_limit_in_mb == "512"
    assert context.invoked_function_arn.endswith(":function:thumbnail")
    assert context.log_group_name == "/aws/lambda/thumbnail"
    assert (context.aws_request_id, context.log_stream_name) == ("id", "stream")
    assert context.client_context is None
    assert context.tenant_id is None
    assert context.identity.cognito_identity_id is None
    assert context.identity.cognito_identity_pool_id is None


def test_remaining_time_follows_the_clock_and_ends_at_zero():
    now = 100.0
    context = Context("f", deadline=103.0, now=lambda: now)
    assert context.get_remaining_time_in_millis() == 3000
    now = 102.9996
    assert context.get_remaining_time_in_millis() == 0
    now = 200.0
    assert context.get_remaining_time_in_millis() == 0


def test_without_a_deadline_there_are_lambdas_three_seconds():
    now = 50.0
    assert Context("f", now=lambda: now).get_remaining_time_in_millis() == 3000
    assert 0 < Context("f").get_remaining_time_in_millis() <= 3000


def test_the_client_context_becomes_attributes():
    sent = {"client": {"installation_id": "i", "app_title": "t"}, "custom": {"k": "v"}, "env": {"locale": "de"}}
    client_context = Context("f", client_context=sent).client_context
    assert client_context.client.installation_id == "i"
    assert client_context.client.app_package_name is None
    assert client_context.custom == {"k": "v"}
    assert client_context.env == {"locale": "de"}


def test_a_client_context_may_be_empty_or_odd():
    for sent in ({}, {"client": None}, {"client": "text"}):
        client_context = Context("f", client_context=sent).client_context
        assert client_context.client is None
        assert client_context.custom is None


def test_log_writes_as_lambdas_does(capsys):
    Context("f").log("a")
    Context("f").log({"b": 1})
    assert capsys.readouterr().out == "a{'b': 1}"


def test_handlers_may_keep_things_on_the_context():
    context = Context("f")
    context.cold_start = True
    assert context.cold_start


def test_importing_it_imports_nothing_heavy():
    script = "import sys, eventflow.context; print(sorted({'asyncio', 'sqlite3', 'dataclasses', 'inspect', 'logging'} & set(sys.modules)))"
    shown = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {script}"], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"
