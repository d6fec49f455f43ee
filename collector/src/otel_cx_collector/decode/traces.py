"""ExportTraceServiceRequest, binary protobuf, to spans that may be steps. Not JSON (traces_json.py), not rows (tag).

Spans are found by hopping over lengths; only those that hold the text ``otelcx.journey.step``, or that a match rule may
map, are read, field by field, where they lie. The rest costs a hop. That is why this is not the generated parser: it
would build every span first, 80 bytes of memory for each byte of the worst request.

Fields and numbers: opentelemetry-proto, trace.proto and common.proto. As in any protobuf decoder the last of a repeated
scalar wins and unknown fields are ignored; text that is not UTF-8 is read with replacement characters, because one bad
letter must not cost the neighbours their place.
"""

import sys
from collections.abc import Iterator
from typing import Final

from otel_cx import semconv
from otel_cx_collector.decode.attributes import read_pair, read_text
from otel_cx_collector.decode.errors import TooLarge
from otel_cx_collector.decode.limits import DecodeLimits
from otel_cx_collector.decode.nested import Message, check
from otel_cx_collector.decode.span import (
    CONSUMER,
    EVENT_KEYS,
    SERVER,
    UNREADABLE,
    Found,
    Resource,
    Scalar,
    Span,
    Wanted,
)
from otel_cx_collector.decode.wire import LENGTH_DELIMITED, fields, malformed, skip, tag_of, truncated, varint

_STEP: Final = semconv.JOURNEY_STEP.encode()
_STEP_KEY: Final = bytes([tag_of(1), len(_STEP)]) + _STEP
_NOWHERE: Final = sys.maxsize

_RESOURCE_SPANS: Final = tag_of(1)
_RESOURCE: Final = tag_of(1)
_INNER: Final = tag_of(2)
"""The field that matters of ResourceSpans (its ScopeSpans) and of ScopeSpans (its Spans)."""
_KEY: Final = tag_of(1)
_VALUE: Final = tag_of(2)
_STRING: Final = tag_of(1)
_TRACE_ID: Final = tag_of(1)
_SPAN_ID: Final = tag_of(2)
_TRACE_STATE: Final = tag_of(3)
_KIND: Final = tag_of(6, 0)
_START: Final = tag_of(7, 1)
_END: Final = tag_of(8, 1)
_ATTRIBUTE: Final = tag_of(9)
_EVENT: Final = tag_of(11)
_STATUS: Final = tag_of(15)
_STATUS_CODE: Final = tag_of(3, 0)
_EVENT_ATTRIBUTE: Final = tag_of(3)
_RESOURCE_ATTRIBUTE: Final = tag_of(1)
_NOBODY: Final = Resource()
_SPAN_FIELDS: Final = frozenset(
    {*map(tag_of, (1, 2, 3, 4, 5, 13, 15)), *(tag_of(number, 0) for number in (6, 10, 12, 14)), _START, _END}
)
_READ: Final = (_TRACE_ID, _SPAN_ID, _TRACE_STATE, _KIND, _START, _END, _STATUS)
_ABSENT: Final = (0, 0)
_EVENT_NAMES: Final = {key.encode(): key for key in EVENT_KEYS}
_MATCHED_KINDS: Final = frozenset({SERVER, CONSUMER})
_BEFORE_KIND: Final = frozenset(map(tag_of, (1, 2, 3, 4, 5)))

_WORTH_A_LOOK: Final = 4_096
"""A span or resource of so many bytes is searched for values nested too deep even when nothing else is read of it."""
_SMALL: Final = 256
"""An attribute or event of fewer bytes cannot hold values nested deeper than 64: each level takes four."""
_RESOURCES_KEPT: Final = 1_024
_RESOURCE_KEPT_BYTES: Final = 16_384


def decode(body: bytes, wanted: Wanted, limits: DecodeLimits) -> Found:
    """All spans counted, those that may be steps read. Raises BadRequest or TooLarge, nothing else."""
    try:
        return _Request(body, wanted, limits).read()
    except IndexError:
        raise truncated() from None


class _Request:
    """One walk over one body."""

    __slots__ = ("blocks", "body", "candidates", "hit", "kept", "limits", "spans", "wanted", "work")

    def __init__(self, body: bytes, wanted: Wanted, limits: DecodeLimits) -> None:
        self.body = body
        self.wanted = wanted
        self.limits = limits
        self.kept = wanted.resources.setdefault(limits, {})
        self.candidates: list[Span] = []
        self.spans = 0
        self.blocks = 0
        self.work = limits.work
        self.hit = 0
        self._seek(0)

    def read(self) -> Found:
        for tag, start, stop in self._blocks(0, len(self.body), known=1):
            if tag == _RESOURCE_SPANS:
                self._resource_spans(start, stop)
        return Found(self.spans, self.candidates)

    def _seek(self, pos: int) -> int:
        """Find the next place after ``pos`` where the step attribute may stand."""
        found = self.body.find(_STEP, pos)
        self.hit = _NOWHERE if found < 0 else found
        return self.hit

    def _blocks(self, pos: int, end: int, known: int) -> Iterator[tuple[int, int, int]]:
        """Fields of a message around spans, counted against the limit; the first ``known`` are messages or strings."""
        for field in fields(self.body, pos, end):
            self.blocks += 1
            if self.blocks > self.limits.blocks:
                raise TooLarge(
                    f"request has more than {self.limits.blocks} ResourceSpans and ScopeSpans; send smaller batches"
                )
            if field[0] >> 3 <= known and field[0] & 7 != LENGTH_DELIMITED:
                raise malformed(f"field {field[0] >> 3} around the spans has wire type {field[0] & 7}")
            yield field

    def _resource_spans(self, pos: int, end: int) -> None:
        parts: list[bytes] = []
        scopes: list[tuple[int, int]] = []
        for tag, start, stop in self._blocks(pos, end, known=3):
            if tag == _RESOURCE:
                parts.append(self.body[start:stop])
            elif tag == _INNER:
                scopes.append((start, stop))
        resource = _NOBODY
        needles: tuple[bytes, ...] = ()
        if self.hit < end or self.wanted.matches_any:
            # A message given in parts is their concatenation: protobuf, "Last One Wins".
            resource = self._resource(parts[0] if len(parts) == 1 else b"".join(parts))
            needles = self.wanted.needles_for(resource.service)
        for start, stop in scopes:
            self._scope_spans(start, stop, resource, needles)

    def _resource(self, raw: bytes) -> Resource:
        """The resource in these bytes, from the cache when it was seen before."""
        kept = self.kept
        resource = kept.get(raw)
        if resource is None:
            resource = self._read_resource(raw)
            if len(raw) <= _RESOURCE_KEPT_BYTES:
                if len(kept) >= _RESOURCES_KEPT:
                    kept.clear()
                kept[raw] = resource
        return resource

    def _read_resource(self, raw: bytes) -> Resource:
        limits = self.limits
        if len(raw) >= _WORTH_A_LOOK:
            check(raw, 0, len(raw), Message.RESOURCE, limits.nesting, limits.fields)
        attributes: dict[str, Scalar] = {}
        count = 0
        for tag, start, stop in fields(raw, 0, len(raw)):
            if tag == _RESOURCE_ATTRIBUTE:
                count += 1
                if count > limits.attributes:
                    return Resource(oversized=True)
                key, value = read_pair(raw, start, stop, limits.value_chars)
                name = self.wanted.resource_names.get(key)
                if name is not None and value is not None:
                    attributes[name] = value
        return Resource.of(attributes, self.wanted.context_keys)

    def _scope_spans(  # noqa: C901 - the hot path: a call a span would double its cost
        self, pos: int, end: int, resource: Resource, needles: tuple[bytes, ...]
    ) -> None:
        """Hop from span to span: 0.15 us each when nothing in it is wanted."""
        buf = self.body
        hit = self.hit
        spans = self.spans
        most = self.limits.spans
        while pos < end:
            tag = buf[pos]
            if tag != _INNER:
                pos = self._beside_spans(pos, end)
                continue
            size = buf[pos + 1]
            if size < 0x80:
                pos += 2
            elif (high := buf[pos + 2]) < 0x80:
                size += (high << 7) - 0x80
                pos += 3
            else:
                size, pos = varint(buf, pos + 1)
            stop = pos + size
            spans += 1
            if spans > most:
                raise TooLarge(f"request has more than {most} spans; send smaller batches")
            if stop > end:
                raise truncated()
            if hit < stop:
                self._read_span(pos, stop, resource)
                hit = self._seek(stop)
            elif needles and self._may_match(pos, stop, needles):
                self._read_span(pos, stop, resource)
            elif size >= _WORTH_A_LOOK:
                check(buf, pos, stop, Message.SPAN, self.limits.nesting, self.limits.fields)
            pos = stop
        self.spans = spans
        if pos != end:
            raise truncated()

    def _beside_spans(self, pos: int, end: int) -> int:
        """Offset after the one field at ``pos`` of a ScopeSpans that is no span."""
        after = skip(self.body, pos)
        next(self._blocks(pos, min(after, end), known=3))
        return after

    def _may_match(self, pos: int, end: int, needles: tuple[bytes, ...]) -> bool:
        """Whether a match rule may map this span: cheap, and never no when the answer is yes."""
        buf = self.body
        at = pos
        while at < end and buf[at] in _BEFORE_KIND and buf[at + 1] < 0x80:
            at += 2 + buf[at + 1]
        if at < end and buf[at] == _KIND and buf[at + 1] not in _MATCHED_KINDS:
            return False
        return any(buf.find(needle, pos, end) >= 0 for needle in needles)

    def _read_span(self, pos: int, end: int, resource: Resource) -> None:  # noqa: C901 - the hot path, as above
        """Read the attributes asked for, remember where the other fields are, and add the span to the candidates."""
        buf = self.body
        names = self.wanted.span_names
        most = self.limits.fields
        attributes = resource.context.copy()
        others: dict[int, tuple[int, int]] = {}
        events: list[tuple[int, int]] = []
        seen = count = 0
        while pos < end and count < most:
            count += 1
            tag = buf[pos]
            at = pos + 1
            if tag & 7 != LENGTH_DELIMITED or tag >= 0x80:
                pos = skip(buf, pos)
                others[tag] = (at, pos)
                continue
            size = buf[at]
            at += 1
            if size >= 0x80:
                size, at = varint(buf, at - 1)
            pos = at + size
            if tag == _ATTRIBUTE:
                seen += 1
                # The layout every encoder writes is a short key, then the value; _attribute reads any other.
                if size > 2 and buf[at] == _KEY and buf[at + 1] < 0x80 and (value_at := at + 2 + buf[at + 1]) <= pos:
                    name = names.get(buf[at + 2 : value_at])
                    if name is None and size < _SMALL:
                        continue
                    if (
                        name is not None
                        and 4 < pos - value_at < 0x80
                        and buf[value_at] == _VALUE
                        and buf[value_at + 1] == pos - value_at - 2
                        and buf[value_at + 2] == _STRING
                        and buf[value_at + 3] == pos - value_at - 4
                    ):
                        attributes[name] = buf[value_at + 4 : pos].decode("utf-8", "replace")
                        continue
                self._attribute(at, pos, attributes)
            elif tag == _EVENT:
                events.append((at, pos))
            else:
                others[tag] = (at, pos)
        self._charge(count)
        oversized = resource.oversized or seen > self.limits.attributes or pos < end
        if pos < end and buf.find(_STEP_KEY, pos, end) >= 0:
            attributes.setdefault(semconv.JOURNEY_STEP, UNREADABLE)
        elif pos > end:
            raise truncated()
        self.candidates.append(self._span(resource, attributes, others, events, oversized=oversized))

    def _charge(self, fields_read: int) -> None:
        self.work -= fields_read
        if self.work < 0:
            raise TooLarge(f"the steps of this request have more than {self.limits.work} fields; send smaller batches")

    def _attribute(self, pos: int, end: int, into: dict[str, Scalar]) -> None:
        """Read one KeyValue of any layout."""
        if end - pos >= _SMALL:
            check(self.body, pos, end, Message.KEY_VALUE, self.limits.nesting, self.limits.fields)
        key, value = read_pair(self.body, pos, end, self.limits.value_chars)
        name = self.wanted.span_names.get(key)
        if name is not None and value is not None:
            into[name] = value

    def _span(
        self,
        resource: Resource,
        attributes: dict[str, Scalar],
        others: dict[int, tuple[int, int]],
        events: list[tuple[int, int]],
        *,
        oversized: bool,
    ) -> Span:
        """The span whose fields lie at these places, by the first byte of their tag."""
        buf = self.body
        for tag in others.keys() - _SPAN_FIELDS:
            if tag < 0x80:
                raise malformed(f"field {tag >> 3} of a span has wire type {tag & 7}")
        trace_id, span_id, trace_state, kind, start, end, status = (others.get(tag, _ABSENT) for tag in _READ)
        return Span(
            resource=resource,
            trace_id=buf[trace_id[0] : trace_id[1]],
            span_id=buf[span_id[0] : span_id[1]],
            trace_state=read_text(buf, *trace_state, self.limits.value_chars),
            kind=_int32(buf, *kind),
            start_ns=int.from_bytes(buf[start[0] : start[1]], "little"),
            end_ns=int.from_bytes(buf[end[0] : end[1]], "little"),
            status=self._status(*status),
            attributes=attributes,
            events=tuple(self._events(events)) if events else (),
            oversized=oversized,
        )

    def _status(self, pos: int, end: int) -> int:
        code = 0
        for tag, start, stop in fields(self.body, pos, end):
            if tag == _STATUS_CODE:
                code = _int32(self.body, start, stop)
            elif tag >> 3 == _STATUS_CODE >> 3:
                raise malformed(f"field 3 of a Status has wire type {tag & 7}")
        return code

    def _events(self, places: list[tuple[int, int]]) -> Iterator[dict[str, Scalar]]:
        """Of each event the attributes in EVENT_KEYS, if it has any."""
        for pos, end in places:
            if end - pos >= _SMALL:
                check(self.body, pos, end, Message.EVENT, self.limits.nesting, self.limits.fields)
            read: dict[str, Scalar] = {}
            for tag, start, stop in fields(self.body, pos, end):
                self._charge(1)
                if tag == _EVENT_ATTRIBUTE:
                    key, value = read_pair(self.body, start, stop, self.limits.value_chars)
                    if (name := _EVENT_NAMES.get(key)) is not None and value is not None:
                        read[name] = value
            if read:
                yield read


def _int32(buf: bytes, pos: int, end: int) -> int:
    """An enum; 0 when absent. Values beyond 32 bits are cut off, as in any protobuf decoder."""
    value = varint(buf, pos)[0] & 0xFFFFFFFF if pos < end else 0
    return value - (1 << 32) if value >> 31 else value
