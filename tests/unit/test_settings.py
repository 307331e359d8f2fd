import pytest

from eventflow.errors import SettingError
from eventflow.settings import configured_app, is_loopback, read_settings


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch):
    """The project's folder: the search for settings files ends here."""
    (tmp_path / ".git").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def own(folder, text):
    (folder / "eventflow.toml").write_text(text)


def pyproject(folder, text):
    (folder / "pyproject.toml").write_text(text)


def refusal(folder, flags=None, environment=None):
    with pytest.raises(SettingError) as caught:
        read_settings(folder, flags, environment or {})
    return str(caught.value)


def test_defaults(project):
    settings = read_settings(project, {}, {})
    assert (settings.account_id, settings.region, settings.host, settings.port) == ("000000000000", "us-east-1", "127.0.0.1", 4566)
    assert settings.state == project / ".eventflow"
    assert settings.buckets == project / ".eventflow" / "buckets"
    assert not settings.open
    assert settings.origin("port") == "default"


def test_a_flag_beats_the_environment_beats_the_file_beats_pyproject(project):
    pyproject(project, "[tool.eventflow]\nport = 1\nregion = 'eu-west-1'\nretention_days = 1\ngrace_seconds = 1")
    own(project, "port = 2\nregion = 'eu-west-2'\nretention_days = 2")
    environment = {"EVENTFLOW_PORT": "3", "EVENTFLOW_REGION": "eu-west-3"}
    settings = read_settings(project, {"port": 4}, environment)
    assert (settings.port, settings.region, settings.retention_days, settings.grace_seconds) == (4, "eu-west-3", 2, 1.0)
    assert settings.origin("port") == "--port"
    assert settings.origin("region") == "EVENTFLOW_REGION"
    assert settings.origin("retention_days") == str(project / "eventflow.toml")
    assert settings.origin("grace_seconds") == f"[tool.eventflow] of {project / 'pyproject.toml'}"


def test_the_region_may_come_from_aws_variables(project):
    own(project, "region = 'eu-west-2'")
    everything = {"EVENTFLOW_REGION": "us-west-1", "AWS_REGION": "us-west-2", "AWS_DEFAULT_REGION": "us-east-2"}
    for expected in ("EVENTFLOW_REGION", "AWS_REGION", "AWS_DEFAULT_REGION"):
        settings = read_settings(project, {}, everything)
        assert (settings.region, settings.origin("region")) == (everything.pop(expected), expected)
    assert read_settings(project, {}, {}).region == "eu-west-2"


def test_a_flag_that_was_not_given_says_nothing(project):
    assert read_settings(project, {"port": None, "open": None}, {"EVENTFLOW_PORT": "5"}).port == 5


def test_an_empty_variable_says_nothing(project):
    assert read_settings(project, {}, {"EVENTFLOW_PORT": "", "AWS_REGION": ""}).port == 4566


def test_the_project_file_is_found_from_a_folder_below(project):
    own(project, "port = 7\nstate = 'data'")
    folder = project / "src" / "shop"
    folder.mkdir(parents=True)
    settings = read_settings(folder, {}, {})
    assert settings.port == 7
    assert settings.state == project / "data"


def test_the_nearest_settings_file_ends_the_search(project):
    own(project, "port = 7")
    folder = project / "shop"
    folder.mkdir()
    pyproject(folder, "[project]\nname = 'shop'")
    assert read_settings(folder, {}, {}).port == 4566


def test_paths_start_where_they_are_written(project, monkeypatch):
    folder = project / "shop"
    folder.mkdir()
    own(folder, "state = 'data'\nbuckets = '/srv/buckets'")
    settings = read_settings(folder, {}, {})
    assert (settings.state, str(settings.buckets)) == (folder / "data", "/srv/buckets")
    assert read_settings(folder, {"state": "flag"}, {}).state == project / "flag"
    assert read_settings(folder, {}, {"EVENTFLOW_STATE": "variable"}).state == project / "variable"
    own(folder, "state = 'data'")
    assert read_settings(folder, {}, {}).buckets == folder / "data" / "buckets"
    monkeypatch.setenv("HOME", "/home/me")
    assert str(read_settings(folder, {"state": "~/state"}, {}).state) == "/home/me/state"


def test_unknown_keys_are_refused_with_file_and_key(project):
    own(project, "prot = 4566")
    assert refusal(project) == f"{project / 'eventflow.toml'} has the key 'prot', which is no setting. Did you mean port?"
    own(project, "")
    pyproject(project, "[tool.eventflow]\nxyzzy = 1")
    text = refusal(project)
    assert text.startswith(f"[tool.eventflow] of {project / 'pyproject.toml'} has the key 'xyzzy', which is no setting. There are: app, state,")


def test_unknown_variables_are_refused(project):
    assert (
        refusal(project, environment={"EVENTFLOW_PROT": "1"})
        == "The environment sets EVENTFLOW_PROT, which is no setting. Did you mean EVENTFLOW_PORT?"
    )
    read_settings(project, {}, {"EVENTFLOW_LOCAL": "1", "PATH": "/bin"})


def test_broken_files_are_named(project):
    own(project, "port = ")
    assert f"{project / 'eventflow.toml'} is not valid TOML" in refusal(project)
    (project / "eventflow.toml").write_bytes(b"\xff\xfe")
    assert "is not valid TOML" in refusal(project)
    own(project, "")
    pyproject(project, "[tool]\neventflow = 5")
    assert "is not a table" in refusal(project)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("port", 65_536, "0 to 65535"),
        ("port", -1, "0 to 65535"),
        ("port", True, "whole number"),
        ("port", "4566", "whole number"),
        ("port", 1.5, "whole number"),
        ("account_id", "123", "twelve digits"),
        ("account_id", 123456789012, "twelve digits"),
        ("region", "nowhere", "an AWS region"),
        ("host", "", "a host name"),
        ("host", "a b", "a host name"),
        ("open", "yes", "true or false"),
        ("open", 1, "true or false"),
        ("retention_days", 0, "1 to 3650 days"),
        ("grace_seconds", float("nan"), "0 to 900 seconds"),
        ("grace_seconds", "1", "0 to 900 seconds"),
        ("log_format", "xml", "auto or text or json"),
        ("state", 5, "path of a directory"),
        ("state", "", "path of a directory"),
    ],
)
def test_values_out_of_range_are_refused_with_their_origin(project, name, value, rule):
    text = refusal(project, {name: value})
    assert text.startswith(f"{name}={value!r} (--{name.replace('_', '-')}) is refused")
    assert rule in text


@pytest.mark.parametrize("word", ["1", "true", "YES", "on"])
def test_variables_are_text(project, word):
    settings = read_settings(project, {}, {"EVENTFLOW_OPEN": word, "EVENTFLOW_GRACE_SECONDS": "1.5", "EVENTFLOW_PORT": "80"})
    assert (settings.open, settings.grace_seconds, settings.port) == (True, 1.5, 80)


@pytest.mark.parametrize(
    ("variable", "word"),
    [("EVENTFLOW_OPEN", "maybe"), ("EVENTFLOW_PORT", "http"), ("EVENTFLOW_GRACE_SECONDS", "soon"), ("EVENTFLOW_GRACE_SECONDS", "inf")],
)
def test_variables_that_cannot_be_read_are_refused(project, variable, word):
    assert f"{word!r} ({variable}) is refused" in refusal(project, environment={variable: word})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.example.org"])
def test_open_is_for_this_machine_alone(project, host):
    own(project, "open = true")
    assert "can be reached from other machines" in refusal(project, {"host": host})
    assert read_settings(project, {"host": host, "open": False}, {}).host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_loopback_may_be_open(project, host):
    assert read_settings(project, {"host": host, "open": True}, {}).open
    assert is_loopback(host)


def test_a_folder_names_its_application(project):
    assert configured_app(project) is None
    pyproject(project, "[tool.eventflow]\napp = 'a.py'")
    assert configured_app(project) == "a.py"
    own(project, "app = 'b.py:app'")
    assert configured_app(project) == "b.py:app"
    assert read_settings(project, {}, {}).port == 4566
    own(project, "app = 5")
    with pytest.raises(SettingError, match="app=5"):
        configured_app(project)


def test_json_tells_values_and_origins(project):
    told = read_settings(project, {"port": 5}, {}).to_json()
    assert told["port"] == {"value": 5, "origin": "--port"}
    assert told["state"] == {"value": str(project / ".eventflow"), "origin": "default"}
    assert "origins" not in told
