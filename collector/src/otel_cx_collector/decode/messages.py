"""The OTLP messages that are read whole, with the fields a step needs. Not the published ones: they build every field.

Parsed by protobuf's own C parser. Fields that are left out are skipped by it as unknown; texts are declared as bytes,
which have the same encoding, because the parser refuses a message for one letter that is not UTF-8; and what repeats
is left as the bytes of its messages: most are known by these bytes already, and a value within values is never built.
Numbers and types of the fields are those of opentelemetry-proto: trace.proto, resource.proto, common.proto.
"""

from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_BYTES: Final = FieldDescriptorProto.TYPE_BYTES
_FIXED64: Final = FieldDescriptorProto.TYPE_FIXED64
_INT32: Final = FieldDescriptorProto.TYPE_INT32
_MESSAGE: Final = FieldDescriptorProto.TYPE_MESSAGE
_ONE: Final = FieldDescriptorProto.LABEL_OPTIONAL
_MANY: Final = FieldDescriptorProto.LABEL_REPEATED
_PACKAGE: Final = "otelcx.decode"

_FIELDS: Final[dict[str, dict[str, tuple[int, Any, Any]]]] = {
    "Resource": {"attributes": (1, _BYTES, _MANY)},
    "Event": {"attributes": (3, _BYTES, _MANY)},
    "Status": {"code": (3, _INT32, _ONE)},
    "Span": {
        "trace_id": (1, _BYTES, _ONE),
        "span_id": (2, _BYTES, _ONE),
        "trace_state": (3, _BYTES, _ONE),
        "kind": (6, _INT32, _ONE),
        "start_time_unix_nano": (7, _FIXED64, _ONE),
        "end_time_unix_nano": (8, _FIXED64, _ONE),
        "attributes": (9, _BYTES, _MANY),
        "events": (11, _BYTES, _MANY),
        "links": (13, _BYTES, _MANY),
        "status": (15, "Status", _ONE),
    },
}
"""Message -> field -> number, type or message, and whether it repeats."""


def _classes() -> dict[str, Any]:
    file = FileDescriptorProto(name="otelcx/decode.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _FIELDS.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, label) in fields.items():
            described = message.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                described.type = _MESSAGE
                described.type_name = f".{_PACKAGE}.{kind}"
            else:
                described.type = kind
    pool = DescriptorPool()
    pool.Add(file)
    return {name: GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _FIELDS}


_CLASSES: Final = _classes()
RESOURCE: Final = _CLASSES["Resource"]
SPAN: Final = _CLASSES["Span"]
EVENT: Final = _CLASSES["Event"]
