"""SAM's own translator: it checks a template's SAM resources and turns them into CloudFormation's, which are all that is mapped here."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eventflow.sam.document import Template, read_document
from eventflow.sam.problems import Problems, TemplateError

TRANSFORM = "AWS::Serverless-2016-10-31"
#: The bucket that stands in a translated template for code that lies on this machine; the key is the path.
LOCAL_BUCKET = "eventflow-local-code"
#: Where resources say that their code is on this machine, in a property that ``aws cloudformation package`` would upload.
LOCAL_CODE = {
    "AWS::Serverless::Function": "CodeUri",
    "AWS::Serverless::LayerVersion": "ContentUri",
    "AWS::Lambda::Function": "Code",
    "AWS::Lambda::LayerVersion": "Content",
}
DEFINITIONS = {"AWS::Serverless::Api", "AWS::Serverless::HttpApi"}
EXTRA = "A template of SAM is translated by AWS's own translator, in the extra `sam`: pip install 'eventflow[sam]'."


def uses_sam(template: Mapping[str, Any]) -> bool:
    """Whether the template names SAM's transform. Raises TemplateError for another one."""
    named = template.get("Transform") or []
    for one in named if isinstance(named, list) else [named]:
        if one not in (TRANSFORM, "AWS::LanguageExtensions"):
            raise TemplateError(f"Transform {one!r} is refused: eventflow has SAM's ({TRANSFORM}) and no macros.")
    return TRANSFORM in (named if isinstance(named, list) else [named])


def with_local_code(template: Template, folder: Path) -> Template:
    """The template with each local path of code in the form that a package that was uploaded has, which is what the translator takes."""
    found = copy.deepcopy(template)
    globals_ = found.get("Globals")
    shared = globals_.get("Function", {}).pop("CodeUri", None) if isinstance(globals_, dict) and isinstance(globals_.get("Function"), dict) else None
    for resource in found["Resources"].values():
        if not isinstance(resource, dict) or str(resource.get("Type")) not in LOCAL_CODE:
            continue
        member, properties = LOCAL_CODE[resource["Type"]], resource.setdefault("Properties", {})
        if not isinstance(properties, dict):
            continue
        serverless = resource["Type"].startswith("AWS::Serverless")
        path = properties.get(member, shared if member == "CodeUri" else None)
        if path is None and resource["Type"] == "AWS::Serverless::Function" and not {"InlineCode", "ImageUri"} & properties.keys():
            path = "."  # what SAM's command line takes where nothing is said
        if isinstance(path, str) and not path.startswith("s3://"):
            local = str((folder / path).resolve())
            properties[member] = {"Bucket": LOCAL_BUCKET, "Key": local} if serverless else {"S3Bucket": LOCAL_BUCKET, "S3Key": local}
    return found


def with_definitions(template: Template, folder: Path) -> Template:
    """APIs whose OpenAPI document is a file of this machine, with the document itself."""
    from eventflow.sam.including import included

    found: Template = included(template, folder)
    for resource in found["Resources"].values():
        properties = resource.get("Properties") if isinstance(resource, dict) else None
        if not isinstance(properties, dict) or str(resource.get("Type")) not in DEFINITIONS:
            continue
        path = properties.get("DefinitionUri")
        if isinstance(path, str) and not path.startswith("s3://"):
            del properties["DefinitionUri"]
            properties["DefinitionBody"] = read_document(folder / path)
    return found


def translate(template: Template, parameters: Mapping[str, Any], region: str, problems: Problems) -> Template:
    """The template with SAM's resources translated; each complaint of the translator is a problem with the resource's name. Raises TemplateError
    where nothing can be translated then."""
    try:
        from samtranslator.model.exceptions import ExceptionWithMessage, InvalidDocumentException
        from samtranslator.parser.parser import Parser
        from samtranslator.translator.translator import Translator
    except ImportError as error:
        raise TemplateError(EXTRA) from error
    from boto3.session import Session

    logging.getLogger("samtranslator").setLevel(logging.ERROR)
    sources = {id: str(resource.get("Type")) for id, resource in template["Resources"].items() if isinstance(resource, dict)}
    translator = Translator({}, Parser(), boto_session=Session(region_name=region))
    try:
        done: Template = translator.translate(copy.deepcopy(template), dict(parameters), get_managed_policy_map=dict)
    except InvalidDocumentException as error:
        causes: list[ExceptionWithMessage] = list(error.causes)
        for cause in causes:
            problems.wrong(where_of(cause, sources), str(cause.message))
        return {**template, "Resources": {}}
    except Exception as error:  # the translator's own bugs on templates that are wrong in ways it does not look for
        raise TemplateError(f"SAM's translator cannot read the template: {type(error).__name__}: {error}.") from error
    return done


def where_of(cause: Any, sources: Mapping[str, str]) -> str:
    """The resource that a complaint is of; an event's has the function's name before its own."""
    said = str(getattr(cause, "_logical_id", ""))
    id = max((id for id in sources if said.startswith(id)), key=len, default=None)
    return "The template" if id is None else f"{id} ({sources[id]})"
