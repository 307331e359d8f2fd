import re
import sys
import textwrap
from pathlib import Path

import pytest

from eventflow.app import load
from eventflow.errors import LoadError
from eventflow.source import folder_of, locate

APP = 'from eventflow import App\napp = App("photos")\n\n@app.function()\ndef handler(event, context):\n    return event\n'


@pytest.fixture(autouse=True)
def imports(monkeypatch, tmp_path):
    """Each test stands in an empty folder and leaves no module behind."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def write(tmp_path):
    def write(path, text=APP):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
        return str(file)

    return write


def failure(reference):
    with pytest.raises(LoadError) as caught:
        load(reference)
    return str(caught.value)


def test_a_file_is_loaded(write, tmp_path):
    loaded = load(write("shop/photos_app.py"))
    assert (loaded.app.name, loaded.module, loaded.attribute, loaded.root) == ("photos", "photos_app", "app", tmp_path / "shop")
    assert sys.path[0] == str(tmp_path / "shop")
    manifest = loaded.manifest()
    assert (manifest.module, manifest.attribute, manifest.root) == ("photos_app", "app", str(tmp_path / "shop"))
    assert manifest.functions[0].handler == "photos_app:handler"
    assert loaded.app.manifest(loaded) == manifest


@pytest.mark.parametrize("reference", ["app.py", "app.py:app", "./app.py", ".", "app:app", "app"])
def test_every_way_to_name_an_application(write, tmp_path, reference):
    write("app.py")
    loaded = load(reference)
    assert (loaded.app.name, loaded.module, loaded.root) == ("photos", "app", tmp_path)


def test_a_module_in_a_package_keeps_its_dotted_name(write, tmp_path):
    write("shop/__init__.py", "")
    write("shop/names.py", "NAME = 'relative'")
    file = write("shop/main.py", "from eventflow import App\nfrom .names import NAME\napp = App(NAME)")
    loaded = load(file)
    assert (loaded.app.name, loaded.module, loaded.root) == ("relative", "shop.main", tmp_path)
    assert load("shop.main:app").app is loaded.app


def test_an_attribute_may_be_dotted(write):
    write("app.py", APP + "class Holder:\n    inner = App('inner')\n")
    assert load("app.py:Holder.inner").app.name == "inner"


def test_a_folder_may_name_its_application(write, tmp_path):
    write("src/main.py")
    write("eventflow.toml", 'app = "src/main.py:app"')
    assert load(str(tmp_path)).module == "main"
    write("eventflow.toml", 'app = "src/other.py"')
    assert "name the application 'src/other.py'. There is no file src/other.py. Python files in src: main.py." in failure(".")


def test_one_app_under_two_names_is_one_app(write):
    write("app.py", APP + "application = app\n")
    assert load("app.py").attribute == "app"


def test_no_file(write, tmp_path):
    write("main.py")
    assert "There is no file mian.py. Did you mean main.py?" in failure("mian.py")
    assert "There is no file x.py. Python files in .: main.py." in failure("x.py")
    assert "the folder nowhere does not exist" in failure("nowhere/app.py")
    assert f"No module named 'nowhere' in {tmp_path}" in failure("nowhere")


def test_no_module(write, tmp_path):
    write("main.py")
    assert (
        f"No module named 'shop.main' in {tmp_path} or among the installed packages (missing: shop). Python files in {tmp_path}: main.py."
        in failure("shop.main:app")
    )


def test_a_folder_without_an_application(tmp_path, write):
    write("empty/readme.txt", "")
    assert "has no app.py, no template.yaml, and no eventflow.toml or pyproject.toml" in failure("empty")
    write("full/main.py")
    assert "Python files in full: main.py." in failure("full/")


def test_no_python_file(write):
    assert "is not a Python file" in failure(write("notes.txt", "hello"))
    assert "Rename the file" in failure(write("app.v2.py"))


def test_a_template_is_no_python_application(write):
    template = write("stack/template.yaml", "Resources: {}")
    assert "there is no App in Python" in failure(template)
    assert "there is no App in Python" in failure("stack")
    assert "a template is an application as a whole" in failure(f"{template}:app")
    source = locate("stack")
    assert (source.template, source.root) == (Path("stack/template.yaml").resolve(), Path("stack").resolve())
    write("stack/app.py", "from eventflow import App\napp = App('x')\n")
    assert locate("stack").template is None


def test_no_reference():
    assert "is not named" in failure(" ")
    for reference in (":app", "app:"):
        assert "on both sides of the colon" in failure(reference)


def test_no_app(write):
    assert 'makes no App: write `app = App("name")`' in failure(write("app.py", "x = 1"))


def test_two_apps(write):
    file = write("app.py", APP + 'admin = App("admin")\n')
    text = failure(file)
    assert f"{file} has more than one App: app ({file}:2), admin ({file}:7)." in text
    assert f"Say which, as in {file}:app." in text
    assert load(f"{file}:admin").app.name == "admin"


def test_a_wrong_attribute(write):
    file = write("app.py")
    assert "has no 'application'; its Apps are: app." in failure(f"{file}:application")
    assert "has 'handler', which is function handler and no App" in failure(f"{file}:handler")


def test_an_import_error_shows_the_users_frames_alone(write):
    write("shop.py", "def price():\n    return 1 / 0\nPRICE = price()\n")
    file = write("app.py", "import shop\n")
    text = failure(file)
    lines = text.splitlines()
    assert lines[0] == f"{file} failed while it was imported."
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[2] == f'  File "{file}", line 1, in <module>'
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "in price" in text
    assert "importlib" not in text
    assert "eventflow" not in text


def test_a_missing_package_is_the_users_import_error(write):
    text = failure(write("app.py", "import a_package_that_is_missing\n"))
    assert "line 1, in <module>" in text
    assert "ModuleNotFoundError: No module named 'a_package_that_is_missing'" in text


def test_a_syntax_error_shows_its_line(write):
    file = write("app.py", "from eventflow import App\napp = App('photos'\n")
    text = failure(file)
    assert f'File "{file}", line 2' in text
    assert "SyntaxError: '(' was never closed" in text
    assert "Traceback" not in text


def test_a_refused_setting_is_one_line_with_its_place(write):
    file = write("app.py", APP + "\n@app.function(memory=64)\ndef small(event, context): ...\n")
    text = failure(file)
    assert text.startswith(f"{file}:8: Function 'small': memory=64 is refused")
    assert "Traceback" not in text


def test_sys_exit_at_import(write):
    assert "ended its process while it was imported: sys.exit(3)" in failure(write("app.py", "raise SystemExit(3)"))


def test_a_name_that_is_taken(write):
    assert "name is taken by" in failure(write("json.py"))


def test_two_handlers_of_one_python_name(write):
    more = "\n@app.function(name='other')\ndef handler(event, context): ...\n"
    loaded = load(write("app.py", APP + more))
    with pytest.raises(LoadError, match=r"Function 'handler' \(.*app.py:4\) is hidden: the name 'handler' now means function 'other' \(.*app.py:8\)"):
        loaded.manifest()


def test_a_handler_that_cannot_be_found_by_name(write):
    more = "\ndef make():\n    @app.function()\n    def inner(event, context): ...\nmake()\n"
    loaded = load(write("app.py", APP + more))
    with pytest.raises(LoadError, match=r"Function 'inner' \(.*\) cannot be found as app:make.<locals>.inner: define it at the top level"):
        loaded.manifest()


def test_settings_belong_to_the_applications_folder(tmp_path, write):
    file = write("shop/app.py")
    assert folder_of(file) == tmp_path / "shop"
    assert folder_of(f"{file}:app") == tmp_path / "shop"
    assert folder_of("shop") == tmp_path / "shop"
    assert folder_of("shop.main:app") == tmp_path


def test_a_refused_trigger_names_the_application_s_line(tmp_path: Path) -> None:
    file = tmp_path / "badly.py"
    file.write_text(
        'from eventflow import App\nfrom triggers import Schedule\napp = App("a")\n\n@app.on(Schedule("cron(0 3 * * * *)"))\ndef f(e, c): ...\n'
    )
    with pytest.raises(LoadError, match=rf"^{re.escape(str(file))}:5: Schedule: expression="):
        load(str(file))
