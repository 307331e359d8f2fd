"""The errors that a service's model knows: their shapes, by name and by the older code of the query protocol."""

from __future__ import annotations

from botocore.model import ServiceModel, StructureShape

from eventflow.aws.protocols.query_codes import query_code


class ErrorShapes:
    """Finds the shape of an error; looks at the model only when the first error is written."""

    def __init__(self, model: ServiceModel) -> None:
        self._model = model
        self._found: dict[str, StructureShape] | None = None

    def find(self, code: str) -> StructureShape | None:
        if self._found is None:
            self._found = {}
            for shape in self._model.error_shapes:
                assert isinstance(shape, StructureShape)
                self._found[query_code(self._model.service_name, shape.name, shape)] = shape
                self._found[shape.name] = shape
        return self._found.get(code)


def text_member(shape: StructureShape | None) -> str:
    """The member that carries an error's sentence: ``message`` or, in older models, ``Message``."""
    return "Message" if shape is not None and "Message" in shape.members else "message"


def status_of(status: int, shape: StructureShape | None) -> int:
    """The HTTP status of an error: 400 is what a ServiceError says when it says nothing, so the model's own status goes before that."""
    modeled: int | None = shape.metadata.get("error", {}).get("httpStatusCode") if shape is not None else None
    return modeled if modeled is not None and status == 400 else status


def blamed(status: int) -> str:
    """Whose fault an error of this status is, in the query protocol's words."""
    return "Sender" if status < 500 else "Receiver"
